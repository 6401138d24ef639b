// A stand-in for what of cuDNN the provider reduces and normalises with; whatever else it looks for is not there. It lies
// in a folder of its own, so that a test can be run without it.
#include <cstdlib>

#include "journal.h"

namespace {
int made(void** handle) { *handle = calloc(1, 64); return 0; }
}  // namespace

EXPORT size_t cudnnGetVersion() { return 91500; }
EXPORT const char* cudnnGetErrorString(int) { return "a status of the stand-in"; }
EXPORT void cudnnGetLastErrorString(char* text, size_t size) { if (size) *text = 0; }
EXPORT int cudnnCreate(void** h) { return made(h); }
EXPORT int cudnnDestroy(void*) { return 0; }
EXPORT int cudnnSetStream(void*, void*) { return 0; }
EXPORT int cudnnCreateTensorDescriptor(void** d) { return made(d); }
EXPORT int cudnnDestroyTensorDescriptor(void*) { return 0; }
EXPORT int cudnnSetTensorNdDescriptor(...) { return 0; }
EXPORT int cudnnCreateReduceTensorDescriptor(void** d) { return made(d); }
EXPORT int cudnnDestroyReduceTensorDescriptor(void*) { return 0; }
EXPORT int cudnnSetReduceTensorDescriptor(...) { return 0; }
EXPORT int cudnnGetReductionIndicesSize(void*, void*, void*, void*, size_t* bytes) { *bytes = 0; return 0; }
EXPORT int cudnnGetReductionWorkspaceSize(void*, void*, void*, void*, size_t* bytes) { *bytes = 1 << 16; return 0; }
EXPORT int cudnnReduceTensor(...) { journal_cudnn("reduce"); return 0; }
EXPORT int cudnnSoftmaxForward(...) { journal_cudnn("softmax"); return 0; }
