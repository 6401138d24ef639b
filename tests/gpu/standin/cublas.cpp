// A stand-in for cuBLAS, cuBLASLt, cuRAND and the driver: each product is one node, and nothing is computed. This file is
// built once for each library; all of them have all functions, and the provider takes from each those that it has there.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "journal.h"

namespace {

int product(const char* name, long m, long n, long k, long batch, const void* a, const void* b, const void* c) {
  char detail[160];
  snprintf(detail, sizeof detail, "%s m=%ld n=%ld k=%ld batch=%ld", name, m, n, k, batch);
  const void* operands[] = {a, b, c};
  journal_work("PRODUCT", detail, operands, 3);
  return 0;
}

struct Layout { uint64_t rows, columns; int batch; };

int made(void** handle) { *handle = calloc(1, 64); return 0; }

}  // namespace

EXPORT int cublasCreate_v2(void** h) { return made(h); }
EXPORT int cublasDestroy_v2(void*) { return 0; }
EXPORT int cublasSetStream_v2(void*, void*) { return 0; }
EXPORT int cublasSetMathMode(void*, int) { return 0; }
EXPORT int cublasGetMathMode(void*, int* mode) { *mode = 0; return 0; }
EXPORT const char* cublasGetStatusName(int) { return "a status of the stand-in"; }
EXPORT const char* cublasGetStatusString(int) { return "a status of the stand-in"; }
EXPORT int cublasGemmEx(void*, int, int, int m, int n, int k, const void*, const void* a, int, int, const void* b, int, int, const void*, void* c, int, int, int, int) { return product("GemmEx", m, n, k, 1, a, b, c); }
EXPORT int cublasGemmStridedBatchedEx(void*, int, int, int m, int n, int k, const void*, const void* a, int, int, long long, const void* b, int, int, long long, const void*, void* c, int, int, long long, int batch, int, int) { return product("GemmStridedBatchedEx", m, n, k, batch, a, b, c); }
EXPORT int cublasSgemm_v2(void*, int, int, int m, int n, int k, const void*, const void* a, int, const void* b, int, const void*, void* c, int) { return product("Sgemm", m, n, k, 1, a, b, c); }
EXPORT int cublasSgemmStridedBatched(void*, int, int, int m, int n, int k, const void*, const void* a, int, long long, const void* b, int, long long, const void*, void* c, int, long long, int batch) { return product("SgemmStridedBatched", m, n, k, batch, a, b, c); }

// Others are named where they are called, without what they multiply.
#define OTHER(name) EXPORT int name(...) { journal_work("PRODUCT", #name, nullptr, 0); return 0; }
OTHER(cublasGemmBatchedEx) OTHER(cublasDgeam) OTHER(cublasDgemmBatched) OTHER(cublasDgemmStridedBatched) OTHER(cublasDgemm_v2)
OTHER(cublasDgetrfBatched) OTHER(cublasDgetriBatched) OTHER(cublasSgeam) OTHER(cublasSgemmBatched) OTHER(cublasSgetrfBatched)
OTHER(cublasSgetriBatched) OTHER(cublasScopy_v2) OTHER(cublasSscal_v2) OTHER(cublasLtMatrixTransform)

EXPORT int cublasLtCreate(void** h) { return made(h); }
EXPORT int cublasLtDestroy(void*) { return 0; }
EXPORT int cublasLtMatmulDescCreate(void** d, int, int) { return made(d); }
EXPORT int cublasLtMatmulDescDestroy(void* d) { free(d); return 0; }
EXPORT int cublasLtMatmulDescSetAttribute(void*, int, const void*, size_t) { return 0; }
EXPORT int cublasLtMatrixLayoutCreate(void** l, int, uint64_t rows, uint64_t columns, int64_t) { *l = new Layout{rows, columns, 1}; return 0; }
EXPORT int cublasLtMatrixLayoutDestroy(void* l) { delete (Layout*)l; return 0; }
EXPORT int cublasLtMatrixLayoutSetAttribute(void* l, int which, const void* value, size_t) { if (which == 5) ((Layout*)l)->batch = *(const int*)value; return 0; }
EXPORT int cublasLtMatmulPreferenceCreate(void** p) { return made(p); }
EXPORT int cublasLtMatmulPreferenceDestroy(void* p) { free(p); return 0; }
EXPORT int cublasLtMatmulPreferenceSetAttribute(void*, int, const void*, size_t) { return 0; }
struct Heuristic { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; };
EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, Heuristic* found, int* count) { memset(found, 0, sizeof *found); *count = 1; return 0; }
EXPORT int cublasLtMatmulAlgoInit(...) { return 0; }
EXPORT int cublasLtMatmulAlgoConfigSetAttribute(...) { return 0; }
EXPORT int cublasLtMatmul(void*, void*, const void*, const void* a, void* of_a, const void* b, void*, const void*, const void*, void*, void* d, void* of_d, ...) {
  Layout *left = (Layout*)of_a, *result = (Layout*)of_d;
  return product("LtMatmul", result->rows, result->columns, left->columns, result->batch, a, b, d);
}
EXPORT int cublasLtMatrixTransformDescCreate(...) { return 0; }
EXPORT int cublasLtMatrixTransformDescDestroy(...) { return 0; }

EXPORT int cuTensorMapEncodeTiled(...) { return 0; }
EXPORT int cuInit(unsigned) { return 0; }
