"""How the functions of libcublasLt.so.13 are answered, as cublas.py says of libcublas: each of the header's has a body of
the same name in shim/blaslt, and what is in no header is refused by name.
"""
LIBRARY = "libcublasLt.so.13"
FACE = "blaslt"
HEADERS = ["cublasLt.h"]
REFUSED_HEADERS = []
# Not the shapes of kernels, which only the library that has them looks at.
ENUMERATORS = r"CUBLASLT_(?!MATMUL_TILE|MATMUL_STAGES|MATMUL_INNER|CLUSTER|SEARCH_RESERVED)"

BODIES = """
    cublasLtCreate cublasLtDestroy
    cublasLtGetStatusName cublasLtGetStatusString cublasLtGetVersion cublasLtGetCudartVersion cublasLtGetProperty
    cublasLtHeuristicsCacheGetCapacity cublasLtHeuristicsCacheSetCapacity
    cublasLtMatmul cublasLtMatrixTransform
    cublasLtMatrixLayoutInit_internal cublasLtMatrixLayoutCreate cublasLtMatrixLayoutDestroy
    cublasLtMatrixLayoutSetAttribute cublasLtMatrixLayoutGetAttribute
    cublasLtMatmulDescInit_internal cublasLtMatmulDescCreate cublasLtMatmulDescDestroy
    cublasLtMatmulDescSetAttribute cublasLtMatmulDescGetAttribute
    cublasLtMatrixTransformDescInit_internal cublasLtMatrixTransformDescCreate cublasLtMatrixTransformDescDestroy
    cublasLtMatrixTransformDescSetAttribute cublasLtMatrixTransformDescGetAttribute
    cublasLtEmulationDescInit_internal cublasLtEmulationDescCreate cublasLtEmulationDescDestroy
    cublasLtEmulationDescSetAttribute cublasLtEmulationDescGetAttribute
    cublasLtMatmulPreferenceInit_internal cublasLtMatmulPreferenceCreate cublasLtMatmulPreferenceDestroy
    cublasLtMatmulPreferenceSetAttribute cublasLtMatmulPreferenceGetAttribute
    cublasLtMatmulAlgoGetHeuristic cublasLtMatmulAlgoGetIds cublasLtMatmulAlgoInit cublasLtMatmulAlgoCheck
    cublasLtMatmulAlgoCapGetAttribute cublasLtMatmulAlgoConfigSetAttribute cublasLtMatmulAlgoConfigGetAttribute
    cublasLtLoggerSetCallback cublasLtLoggerSetFile cublasLtLoggerOpenFile cublasLtLoggerSetLevel cublasLtLoggerSetMask
    cublasLtLoggerForceDisable
    """.split()
# Of those, what is on the wire, and the structure of its words (protocol/library/lt_problem.h).
STRUCTURES = {
    "cublasLtMatmul": "LtMatmul",
    "cublasLtMatrixTransform": "LtTransform",
    "cublasLtMatmulAlgoGetHeuristic": "LtFindAlgorithms",
    "cublasLtMatmulAlgoGetIds": "LtListAlgorithms",
    "cublasLtMatmulAlgoInit": "LtInitAlgorithm",
    "cublasLtMatmulAlgoCheck": "LtCheckAlgorithm",
    "cublasLtMatmulAlgoCapGetAttribute": "LtGetCapability",
    "cublasLtMatmulAlgoConfigSetAttribute": "LtSetConfiguration",
    "cublasLtMatmulAlgoConfigGetAttribute": "LtGetConfiguration",
}

REFUSED = {}
WHY_REFUSED = "it is in no header"
