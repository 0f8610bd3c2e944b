// SPDX-License-Identifier: Apache-2.0
// A library with the names of cuBLASLt's functions, each of which returns its own number; of INCOMPLETE the last is missing.
extern "C" {
int cublasLtCreate() { return 1; }
int cublasLtDestroy() { return 2; }
int cublasLtMatmulDescCreate() { return 3; }
int cublasLtMatmulDescDestroy() { return 4; }
int cublasLtMatmulDescSetAttribute() { return 5; }
int cublasLtMatrixLayoutCreate() { return 6; }
int cublasLtMatrixLayoutDestroy() { return 7; }
int cublasLtMatrixLayoutSetAttribute() { return 8; }
int cublasLtMatmulPreferenceCreate() { return 9; }
int cublasLtMatmulPreferenceDestroy() { return 10; }
int cublasLtMatmulPreferenceSetAttribute() { return 11; }
int cublasLtMatmulAlgoGetHeuristic() { return 12; }
#ifndef INCOMPLETE
int cublasLtMatmul() { return 13; }
#endif
}
