// A stand-in for CUDA's runtime. Device memory is memory of the host, kernels are named and counted and not executed,
// captures are policed as CUDA polices them, and a graph knows the memory that its products and copies were told of.
#define CUDARTAPI_H  // keeps the header from declaring what is defined here with another linkage
#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "journal.h"

namespace {

using Blocks = std::map<const char*, size_t>;

struct Graph {
  size_t nodes = 0;
  std::vector<const void*> operands;
  uint64_t checked = 0;  // the number of frees when all of them were last seen to be allocated
};

// Everything is made on first use and never destroyed: the provider calls CUDA while the process ends.
struct State {
  std::recursive_mutex mutex;
  Counts counts{};
  FILE* script = nullptr;  // each event is written here, where somebody asked for it
  Blocks device, pinned;
  std::unordered_map<const void*, std::string> kernels;
  cudaStream_t capturing = nullptr;
  bool is_broken = false;  // the capture under way did what it may not
  Graph captured;
  uint64_t frees = 0;
};

State& state() {
  static State* one = new State;
  return *one;
}

using Lock = std::lock_guard<std::recursive_mutex>;

void write(const char* kind, const char* detail) {
  State& s = state();
  if (s.script) fprintf(s.script, "%s %s %s\n", s.capturing ? "captured" : "now", kind, detail);
}

void violation(const std::string& what) {
  State& s = state();
  s.counts.violations++;
  s.is_broken = s.capturing != nullptr;
  write("VIOLATION", what.c_str());
  fprintf(stderr, "stand-in: %s\n", what.c_str());
}

// Error 900, as CUDA's, where the call may not be made during a capture.
cudaError_t outside_of_captures(const char* call) {
  State& s = state();
  if (!s.capturing) return cudaSuccess;
  violation(std::string(call) + " during a capture");
  return cudaErrorStreamCaptureUnsupported;
}
#define OUTSIDE_OF_CAPTURES(call) \
  Lock lock(state().mutex);       \
  if (cudaError_t error = outside_of_captures(call)) return error

bool lies_in(const Blocks& blocks, const void* pointer) {
  auto at = blocks.upper_bound(static_cast<const char*>(pointer));
  if (at == blocks.begin()) return false;
  --at;
  return static_cast<const char*>(pointer) < at->first + at->second;
}

cudaError_t allocate(void** pointer, size_t bytes, bool is_pinned) {
  State& s = state();
  size_t size = bytes ? bytes : 1;
  // Mapped anew: zeros, and nothing of the host's until it is touched.
  *pointer = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (*pointer == MAP_FAILED) return cudaErrorMemoryAllocation;
  (is_pinned ? s.pinned : s.device)[static_cast<char*>(*pointer)] = size;
  if (!is_pinned) s.counts.alive += size, s.counts.allocations++;
  write(is_pinned ? "PINNED" : "ALLOCATION", std::to_string(bytes).c_str());
  return cudaSuccess;
}

cudaError_t release(void* pointer, bool is_pinned) {
  State& s = state();
  if (!pointer) return cudaSuccess;
  Blocks& blocks = is_pinned ? s.pinned : s.device;
  auto at = blocks.find(static_cast<char*>(pointer));
  if (at == blocks.end()) return cudaErrorInvalidValue;
  if (!is_pinned) s.counts.alive -= at->second, s.frees++;
  munmap(pointer, at->second);
  blocks.erase(at);
  return cudaSuccess;
}

const char* direction(const void* to, const void* from) {
  State& s = state();
  bool is_there = lies_in(s.device, to), is_from_there = lies_in(s.device, from);
  return is_there ? (is_from_there ? "within" : "in") : (is_from_there ? "out" : "host");
}

void count_copy(const char* which, size_t bytes) {
  Counts& c = state().counts;
  if (!strcmp(which, "in")) c.copies_in++, c.bytes_in += bytes;
  if (!strcmp(which, "out")) c.copies_out++, c.bytes_out += bytes;
}

cudaError_t copy_on_stream(void* to, const void* from, size_t bytes) {
  State& s = state();
  const char* which = direction(to, from);
  const void* operands[] = {to, from};
  if (!strcmp(which, "within")) {
    journal_work("COPY", std::to_string(bytes).c_str(), operands, 2);
  } else if (s.capturing) {
    violation(std::string("a copy ") + which + " of the device was captured: it would be repeated with this address");
  } else {
    count_copy(which, bytes);
    write("COPY", (std::string(which) + " " + std::to_string(bytes)).c_str());
  }
  return cudaSuccess;
}

void launch(const void* kernel, dim3 grid, dim3 block, cudaStream_t stream) {
  State& s = state();
  Lock lock(s.mutex);
  if (s.capturing && stream != s.capturing) violation("a kernel on a stream that is not captured");
  if (!s.script) return journal_work("KERNEL", "", nullptr, 0);
  auto at = s.kernels.find(kernel);
  char detail[4096];
  snprintf(detail, sizeof detail, "%s <<<%u,%u,%u|%u,%u,%u>>>", at == s.kernels.end() ? "?" : at->second.c_str(), grid.x,
           grid.y, grid.z, block.x, block.y, block.z);
  journal_work("KERNEL", detail, nullptr, 0);
}

int number_of(const char* variable, int otherwise) {
  const char* value = getenv(variable);
  return value ? atoi(value) : otherwise;
}

}  // namespace

// The journal, for the other libraries and for the tests.

EXPORT void journal_work(const char* kind, const char* detail, const void* const* operands, int count) {
  State& s = state();
  Lock lock(s.mutex);
  write(kind, detail);
  if (!s.capturing) {
    s.counts.launches++;
    return;
  }
  s.counts.nodes++, s.captured.nodes++;
  s.captured.operands.insert(s.captured.operands.end(), operands, operands + count);
}
EXPORT void journal_cudnn(const char* call) {
  Lock lock(state().mutex);
  state().counts.cudnn++;
  journal_work("CUDNN", call, nullptr, 0);
}
EXPORT void journal_counts(Counts* counts) {
  Lock lock(state().mutex);
  *counts = state().counts;
}
EXPORT void journal_reset() {
  Lock lock(state().mutex);
  uint64_t alive = state().counts.alive;
  state().counts = Counts{};
  state().counts.alive = alive;
}
EXPORT void journal_script(const char* path) {
  Lock lock(state().mutex);
  if (state().script) fclose(state().script);
  state().script = path ? fopen(path, "w") : nullptr;
}

// Memory.

EXPORT cudaError_t cudaMalloc(void** p, size_t n) { OUTSIDE_OF_CAPTURES("cudaMalloc"); return allocate(p, n, false); }
EXPORT cudaError_t cudaFree(void* p) { OUTSIDE_OF_CAPTURES("cudaFree"); return release(p, false); }
EXPORT cudaError_t cudaMallocHost(void** p, size_t n) { OUTSIDE_OF_CAPTURES("cudaMallocHost"); return allocate(p, n, true); }
EXPORT cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) { OUTSIDE_OF_CAPTURES("cudaHostAlloc"); return allocate(p, n, true); }
EXPORT cudaError_t cudaFreeHost(void* p) { OUTSIDE_OF_CAPTURES("cudaFreeHost"); return release(p, true); }
EXPORT cudaError_t cudaFreeAsync(void* p, cudaStream_t) { Lock lock(state().mutex); return release(p, false); }
EXPORT cudaError_t cudaMallocFromPoolAsync(void** p, size_t n, cudaMemPool_t, cudaStream_t) { Lock lock(state().mutex); return allocate(p, n, false); }
EXPORT cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps*) { *pool = (cudaMemPool_t)malloc(8); return cudaSuccess; }
EXPORT cudaError_t cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
EXPORT cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
EXPORT cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
EXPORT cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
EXPORT cudaError_t cudaMemGetInfo(size_t* unused, size_t* all) { *all = 139ull << 30; *unused = *all - state().counts.alive - (1ull << 30); return cudaSuccess; }
EXPORT cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  OUTSIDE_OF_CAPTURES("cudaMemcpy");
  const char* which = direction(to, from);
  count_copy(which, bytes);
  write("BLOCKING-COPY", (std::string(which) + " " + std::to_string(bytes)).c_str());
  memcpy(to, from, bytes);
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  Lock lock(state().mutex);
  cudaError_t error = copy_on_stream(to, from, bytes);
  memcpy(to, from, bytes);
  return error;
}
EXPORT cudaError_t cudaMemcpy2DAsync(void* to, size_t pitch, const void* from, size_t from_pitch, size_t width, size_t rows, cudaMemcpyKind, cudaStream_t) {
  Lock lock(state().mutex);
  cudaError_t error = copy_on_stream(to, from, width * rows);
  for (size_t row = 0; row < rows; row++) memcpy((char*)to + row * pitch, (const char*)from + row * from_pitch, width);
  return error;
}
EXPORT cudaError_t cudaMemcpyFromSymbol(void*, const void*, size_t, size_t, cudaMemcpyKind) { OUTSIDE_OF_CAPTURES("cudaMemcpyFromSymbol"); return cudaSuccess; }
EXPORT cudaError_t cudaMemset(void* p, int value, size_t n) { OUTSIDE_OF_CAPTURES("cudaMemset"); memset(p, value, n); return cudaSuccess; }
EXPORT cudaError_t cudaMemsetAsync(void* p, int value, size_t n, cudaStream_t) {
  const void* operands[] = {p};
  journal_work("SET", std::to_string(n).c_str(), operands, 1);
  memset(p, value, n);
  return cudaSuccess;
}
EXPORT cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* p) {
  State& s = state();
  Lock lock(s.mutex);
  memset(found, 0, sizeof *found);
  found->type = lies_in(s.device, p) ? cudaMemoryTypeDevice : lies_in(s.pinned, p) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
  found->devicePointer = const_cast<void*>(p);
  return cudaSuccess;
}

// Streams, events and captures. One stream is captured at a time, in global mode: nobody may do what it forbids.

EXPORT cudaError_t cudaStreamCreate(cudaStream_t* s) { *s = (cudaStream_t)malloc(8); return cudaSuccess; }
EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) { *s = (cudaStream_t)malloc(8); return cudaSuccess; }
EXPORT cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  OUTSIDE_OF_CAPTURES("cudaStreamSynchronize");
  if (stream) state().counts.waits++, write("WAIT", "stream");  // nothing but copies is on the null stream
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceSynchronize() { OUTSIDE_OF_CAPTURES("cudaDeviceSynchronize"); state().counts.waits++; write("WAIT", "device"); return cudaSuccess; }
EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
EXPORT cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  State& s = state();
  Lock lock(s.mutex);
  if (s.capturing) violation("a capture within a capture");
  write("CAPTURE", "begins");
  s.capturing = stream, s.is_broken = false, s.captured = Graph{};
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  State& s = state();
  Lock lock(s.mutex);
  s.capturing = nullptr;
  write("CAPTURE", ("ends with nodes: " + std::to_string(s.captured.nodes)).c_str());
  *graph = s.is_broken ? nullptr : (cudaGraph_t) new Graph(s.captured);
  return s.is_broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}
EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = state().capturing && state().capturing == stream ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  Lock lock(state().mutex);
  state().counts.captures++;
  *made = (cudaGraphExec_t) new Graph(*(Graph*)graph);
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphLaunch(cudaGraphExec_t launched, cudaStream_t) {
  OUTSIDE_OF_CAPTURES("cudaGraphLaunch");
  State& s = state();
  Graph& graph = *(Graph*)launched;
  s.counts.replays++, s.counts.replayed += graph.nodes;
  write("REPLAY", std::to_string(graph.nodes).c_str());
  if (graph.checked != s.frees) {
    for (const void* operand : graph.operands)
      if (!lies_in(s.device, operand)) {
        violation("a graph is launched whose memory has been given back");
        break;
      }
    graph.checked = s.frees;
  }
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphDestroy(cudaGraph_t graph) { delete (Graph*)graph; return cudaSuccess; }
EXPORT cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { delete (Graph*)graph; return cudaSuccess; }
EXPORT cudaError_t cudaEventCreate(cudaEvent_t* e) { *e = (cudaEvent_t)malloc(8); return cudaSuccess; }
EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { *e = (cudaEvent_t)malloc(8); return cudaSuccess; }
EXPORT cudaError_t cudaEventDestroy(cudaEvent_t e) { free(e); return cudaSuccess; }
EXPORT cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
EXPORT cudaError_t cudaEventRecordWithFlags(cudaEvent_t, cudaStream_t, unsigned) { return cudaSuccess; }
EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t) { OUTSIDE_OF_CAPTURES("cudaEventSynchronize"); state().counts.waits++; return cudaSuccess; }
EXPORT cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) { *ms = 0.01f; return cudaSuccess; }

// Kernels: the compiler's own calls register and launch them.

namespace {
struct Configuration { dim3 grid, block; size_t shared; void* stream; };
thread_local std::vector<Configuration> configurations;
}  // namespace
EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
EXPORT cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  Configuration last = configurations.back();
  configurations.pop_back();
  *grid = last.grid, *block = last.block, *shared = last.shared, *(void**)stream = last.stream;
  return cudaSuccess;
}
EXPORT void** __cudaRegisterFatBinary(void*) { static void* handle; return &handle; }
EXPORT void __cudaRegisterFatBinaryEnd(void**) {}
EXPORT void __cudaUnregisterFatBinary(void**) {}
EXPORT void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
EXPORT void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) { state().kernels[host] = name; }
EXPORT cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) { *kernel = (cudaKernel_t)host; return cudaSuccess; }
EXPORT cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void**, size_t, cudaStream_t s) { launch((const void*)k, g, b, s); return cudaSuccess; }
EXPORT cudaError_t cudaLaunchKernel(const void* k, dim3 g, dim3 b, void**, size_t, cudaStream_t s) { launch(k, g, b, s); return cudaSuccess; }
EXPORT cudaError_t cudaLaunchCooperativeKernel(const void* k, dim3 g, dim3 b, void**, size_t, cudaStream_t s) { launch(k, g, b, s); return cudaSuccess; }
EXPORT cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* k, void**) { launch(k, c->gridDim, c->blockDim, c->stream); return cudaSuccess; }
EXPORT cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t function, void* data) {
  journal_work("HOST-FUNCTION", "", nullptr, 0);
  if (!state().capturing) function(data);
  return cudaSuccess;
}
EXPORT cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024, a->numRegs = 32, a->binaryVersion = a->ptxVersion = 90, a->maxDynamicSharedSizeBytes = 49152;
  return cudaSuccess;
}
EXPORT cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
EXPORT cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t, cudaFuncAttribute, int, int) { return cudaSuccess; }
EXPORT cudaError_t cudaLibraryGetKernel(cudaKernel_t* k, cudaLibrary_t, const char* name) { *k = (cudaKernel_t)strdup(name); state().kernels[*k] = name; return cudaSuccess; }
EXPORT cudaError_t cudaLibraryLoadData(cudaLibrary_t* l, const void*, cudaJitOption*, void**, unsigned, cudaLibraryOption*, void**, unsigned) { *l = (cudaLibrary_t)malloc(8); return cudaSuccess; }
EXPORT cudaError_t cudaLibraryUnload(cudaLibrary_t) { return cudaSuccess; }
EXPORT cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int, size_t, unsigned) { *n = 2; return cudaSuccess; }

// The device: an H200 by its numbers; STANDIN_MAJOR and STANDIN_MINOR make it another generation.

EXPORT cudaError_t cudaSetDevice(int) { return cudaSuccess; }
EXPORT cudaError_t cudaGetDevice(int* device) { *device = 0; return cudaSuccess; }
EXPORT cudaError_t cudaGetDeviceCount(int* count) { *count = 1; return cudaSuccess; }
EXPORT cudaError_t cudaDriverGetVersion(int* version) { *version = 13000; return cudaSuccess; }
EXPORT cudaError_t cudaRuntimeGetVersion(int* version) { *version = 13000; return cudaSuccess; }
EXPORT cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** f, unsigned, unsigned long long, cudaDriverEntryPointQueryResult* r) {
  *f = nullptr;
  if (r) *r = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  memset(p, 0, sizeof *p);
  strcpy(p->name, "a stand-in for an NVIDIA H200");
  p->major = number_of("STANDIN_MAJOR", 9), p->minor = number_of("STANDIN_MINOR", 0), p->multiProcessorCount = 132;
  p->totalGlobalMem = 139ull << 30, p->totalConstMem = 65536, p->l2CacheSize = 60 << 20, p->memoryBusWidth = 6144;
  p->sharedMemPerBlock = 49152, p->sharedMemPerBlockOptin = 232448, p->sharedMemPerMultiprocessor = 233472;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536, p->warpSize = 32, p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048, p->maxBlocksPerMultiProcessor = 32, p->asyncEngineCount = 3;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->concurrentKernels = p->unifiedAddressing = p->cooperativeLaunch = p->memoryPoolsSupported = 1;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, 0);
  switch ((int)which) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = p.sharedMemPerBlockOptin; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = p.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = p.sharedMemPerMultiprocessor; break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: *value = p.maxGridSize[1]; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = p.regsPerBlock; break;
    default: *value = 1;
  }
  return cudaSuccess;
}
EXPORT const char* cudaGetErrorName(cudaError_t) { return "an error of the stand-in"; }
EXPORT const char* cudaGetErrorString(cudaError_t e) { return e == cudaErrorStreamCaptureUnsupported ? "not while a stream is captured" : "an error of the stand-in"; }
EXPORT cudaError_t cudaGetLastError() { return cudaSuccess; }
EXPORT cudaError_t cudaPeekAtLastError() { return cudaSuccess; }
