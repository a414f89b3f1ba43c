"""How the functions of libcublas.so.13 are answered. protocol/gen/blas.py reads their signatures from the installed headers
and this file for what they do not say: a parameter's kind follows from its type and name, a function that the rules cover
needs nothing, an exception is one line. What the library exports and nothing here reaches is refused by name.
"""
LIBRARY = "libcublas.so.13"
FACE = "blas"
HEADERS = ["cublas_api.h"]
# Headers whose functions are exported and refused: read for what they return.
REFUSED_HEADERS = ["cublas.h"]
ENUMERATORS = r"\w+"

# Answered by a body of the same name in shim/blas (a _64 variant by its own): state of the handle, text, copies, groups
# of products.
BODIES = """
    cublasCreate_v2 cublasDestroy_v2 cublasGetVersion_v2 cublasGetProperty cublasGetCudartVersion
    cublasSetWorkspace_v2 cublasSetStream_v2 cublasGetStream_v2 cublasGetPointerMode_v2 cublasSetPointerMode_v2
    cublasGetAtomicsMode cublasSetAtomicsMode cublasGetMathMode cublasSetMathMode
    cublasGetSmCountTarget cublasSetSmCountTarget
    cublasGetEmulationStrategy cublasSetEmulationStrategy
    cublasGetEmulationSpecialValuesSupport cublasSetEmulationSpecialValuesSupport
    cublasGetFixedPointEmulationMantissaControl cublasSetFixedPointEmulationMantissaControl
    cublasGetFixedPointEmulationMaxMantissaBitCount cublasSetFixedPointEmulationMaxMantissaBitCount
    cublasGetFixedPointEmulationMantissaBitOffset cublasSetFixedPointEmulationMantissaBitOffset
    cublasGetFixedPointEmulationMantissaBitCountPointer cublasSetFixedPointEmulationMantissaBitCountPointer
    cublasGetStatusName cublasGetStatusString
    cublasLoggerConfigure cublasSetLoggerCallback cublasGetLoggerCallback
    cublasSetVector cublasSetVector_64 cublasGetVector cublasGetVector_64
    cublasSetMatrix cublasSetMatrix_64 cublasGetMatrix cublasGetMatrix_64
    cublasSetVectorAsync cublasSetVectorAsync_64 cublasGetVectorAsync cublasGetVectorAsync_64
    cublasSetMatrixAsync cublasSetMatrixAsync_64 cublasGetMatrixAsync cublasGetMatrixAsync_64
    cublasXerbla
    cublasSgemmGroupedBatched cublasDgemmGroupedBatched cublasGemmGroupedBatchedEx
    cublasSgemmGroupedBatched_64 cublasDgemmGroupedBatched_64 cublasGemmGroupedBatchedEx_64
    """.split()
# Of those, what is on the wire, and the structure of its words.
STRUCTURES = {}

# {reason: names}, or patterns that end in *.
REFUSED = {
    "cublasXt spreads one call over devices and host memory by itself, and this release does not": "cublasXt*",
    "it is in no header": """
        cublasGetBackdoor cublasSetBackdoor cublasSetBackdoorEx cublasGetEnvironmentMode cublasSetEnvironmentMode
        cublasSbdmm cublasDbdmm cublasCbdmm cublasZbdmm
        """,
}
WHY_REFUSED = "this release does not remote it yet"
WHY_LEGACY = "it belongs to the interface without handles of cublas.h, which this release does not have"

# (type, name, kind): the first that matches both, as regular expressions of all of them.
#   number   an integer                          enum     an enumerator
#   scalar   read where the pointer mode says    result   written where the pointer mode says
#   inout    both                                 array    device memory with addresses of device memory
#   device   device memory
RULES = [
    (r"int|int64_t|long long|size_t", r".*", "number"),
    (r"cublas(Operation|FillMode|DiagType|SideMode|ComputeType)_t|cublasGemmAlgo_t|cudaDataType(_t)?", r".*", "enum"),
    (r".*\*const\[\]", r".*", "array"),
    (r"const .*\*", r"alpha|beta|c|s|y1|param", "scalar"),
    (r".*\*", r"result", "result"),
    (r".*\*", r".*", "device"),
]
# {family: {parameter: kind}}
EXCEPTIONS = {
    "rotg": {"a": "inout", "b": "inout", "c": "result", "s": "result"},
    "rotmg": {"d1": "inout", "d2": "inout", "x1": "inout", "param": "result"},
    "RotgEx": {"a": "inout", "b": "inout", "c": "result", "s": "result"},
    "RotmgEx": {"d1": "inout", "d2": "inout", "x1": "inout", "param": "result"},
    # Of the arguments, so the client has said it by its checks: always on the host.
    "geqrfBatched": {"info": "host_info"},
    "getrsBatched": {"info": "host_info"},
    "gelsBatched": {"info": "host_info"},
}
# {family: {parameter: how many elements it has}}; one elsewhere.
ELEMENTS = {"rotm": {"param": 5}, "rotmg": {"param": 5}, "RotmEx": {"param": 5}, "RotmgEx": {"param": 5}}
# {family: {parameter: an expression for the bytes of an element}} of scalars and results without a type.
_GEMM_SCALARS = dict.fromkeys(("alpha", "beta"), "ScaleBytes(computeType, Ctype)")
ELEMENT_BYTES = {
    "GemmEx": _GEMM_SCALARS, "GemmBatchedEx": _GEMM_SCALARS, "GemmStridedBatchedEx": _GEMM_SCALARS,
    "Nrm2Ex": {"result": "BytesOf(resultType)"}, "DotEx": {"result": "BytesOf(resultType)"},
    "DotcEx": {"result": "BytesOf(resultType)"}, "AsumEx": {"result": "BytesOf(resultType)"},
    "ScalEx": {"alpha": "BytesOf(alphaType)"}, "AxpyEx": {"alpha": "BytesOf(alphaType)"},
    "RotEx": {"c": "RealBytesOf(csType)", "s": "BytesOf(csType)"}, "RotmEx": {"param": "BytesOf(paramType)"},
    "RotgEx": {"a": "BytesOf(abType)", "b": "BytesOf(abType)", "c": "RealBytesOf(csType)", "s": "BytesOf(csType)"},
    "RotmgEx": {"d1": "BytesOf(d1Type)", "d2": "BytesOf(d2Type)", "x1": "BytesOf(x1Type)", "y1": "BytesOf(y1Type)",
                "param": "BytesOf(paramType)"},
}

# A family is the name without `cublas`, the letters of its types, _v2 and _64: cublasSgemm_v2 is of gemm. Names whose
# letters are not one at their front, or that have none:
MIXED = {"Scnrm2": "nrm2", "Dznrm2": "nrm2", "Scasum": "asum", "Dzasum": "asum", "Csrot": "rot", "Zdrot": "rot",
         "Csscal": "scal", "Zdscal": "scal"}
UNTYPED = """Nrm2Ex DotEx DotcEx ScalEx AxpyEx CopyEx SwapEx IamaxEx IaminEx AsumEx RotEx RotgEx RotmEx RotmgEx
             GemmEx GemmBatchedEx GemmStridedBatchedEx GemmGroupedBatchedEx Uint8gemmBias""".split()

# What the client checks, with CUBLAS_STATUS_INVALID_VALUE: these numbers are not negative, those not 0, and leading
# dimensions as large as rows are.
NOT_NEGATIVE = "m n k kl ku rows cols nrhs batchCount batchSize".split()
NOT_ZERO = "incx incy".split()
# But for these families: one number for all rows or columns.
MAY_BE_ZERO = ["dgmm"]
# These take any such numbers, and then do nothing or give 0.
UNCHECKED = """nrm2 dot dotu dotc scal axpy copy swap iamax iamin asum rot rotm Nrm2Ex DotEx DotcEx ScalEx AxpyEx CopyEx SwapEx
               IamaxEx IaminEx AsumEx RotEx RotmEx""".split()
_GEMM = {"lda": "transa == CUBLAS_OP_N ? m : k", "ldb": "transb == CUBLAS_OP_N ? k : n", "ldc": "m"}
_RANK_K = {"lda": "trans == CUBLAS_OP_N ? n : k", "ldb": "trans == CUBLAS_OP_N ? n : k", "ldc": "n"}
_SIDED = {"lda": "side == CUBLAS_SIDE_LEFT ? m : n", "ldb": "m", "ldc": "m"}
ROWS = {
    **dict.fromkeys("""gemm gemm3m gemmEx gemm3mEx GemmEx gemmBatched gemm3mBatched gemmStridedBatched gemm3mStridedBatched
                       GemmBatchedEx GemmStridedBatchedEx Uint8gemmBias""".split(), _GEMM),
    **dict.fromkeys("syrk herk syrkEx syrk3mEx herkEx herk3mEx syr2k her2k syrkx herkx".split(), _RANK_K),
    **dict.fromkeys("symm hemm trmm trsm trsmBatched".split(), _SIDED),
    **dict.fromkeys("symv hemv syr her syr2 her2 trmv trsv tpttr trttp getrfBatched".split(), {"lda": "n"}),
    **dict.fromkeys("sbmv hbmv tbmv tbsv".split(), {"lda": "std::int64_t{k} + 1"}),
    **dict.fromkeys("gemv ger geru gerc gemvBatched gemvStridedBatched geqrfBatched".split(), {"lda": "m"}),
    "gbmv": {"lda": "std::int64_t{kl} + ku + 1"},
    "geam": {"lda": "transa == CUBLAS_OP_N ? m : n", "ldb": "transb == CUBLAS_OP_N ? m : n", "ldc": "m"},
    "dgmm": {"lda": "m", "ldc": "m"},
    "matinvBatched": {"lda": "n", "lda_inv": "n"},
    "getriBatched": {"lda": "n", "ldc": "n"},
    "getrsBatched": {"lda": "n", "ldb": "n"},
    "gelsBatched": {"lda": "m", "ldc": "m > n ? m : n"},
}
# More of the same, by family.
CHECKS = {
    **dict.fromkeys("herk her2k herkx herkEx herk3mEx".split(), "trans != CUBLAS_OP_T"),
    "matinvBatched": "n <= 32",
}
# {family: what must hold, else CUBLAS_STATUS_NOT_SUPPORTED}
SUPPORTED = {
    **dict.fromkeys("GemmEx GemmBatchedEx GemmStridedBatchedEx".split(), "IsGemm(computeType, Atype, Btype, Ctype)"),
    **dict.fromkeys("gemmEx gemm3mEx".split(), "IsGemmOf(alpha, Atype, Btype, Ctype)"),
    **dict.fromkeys("syrkEx syrk3mEx herkEx herk3mEx".split(), "IsRankK(Atype, Ctype)"),
    **dict.fromkeys("IamaxEx IaminEx".split(), "IsVector(xType)"),
    **dict.fromkeys("CopyEx SwapEx".split(), "IsVector(xType) && yType == xType"),
    **dict.fromkeys("DotEx DotcEx".split(),
                    "IsVectorWork(xType, executionType) && yType == xType && resultType == xType"),
    "Nrm2Ex": "IsNorm(xType, resultType, executionType)",
    "AsumEx": "IsNorm(xType, resultType, executiontype)",
    "ScalEx": "IsVectorWork(xType, executionType) && IsScalar(alphaType, xType)",
    "AxpyEx": "IsVectorWork(xType, executiontype) && yType == xType && IsScalar(alphaType, xType)",
    "RotEx": "IsVectorWork(xType, executiontype) && yType == xType && IsRotation(csType, xType)",
    "RotgEx": "IsVectorWork(abType, executiontype) && csType == abType",
    "RotmEx": "IsVectorWork(xType, executiontype) && IsReal(xType) && yType == xType && paramType == xType",
    "RotmgEx": "IsVectorWork(d1Type, executiontype) && IsReal(d1Type) && d2Type == d1Type && x1Type == d1Type && "
               "y1Type == d1Type && paramType == d1Type",
    "gelsBatched": "trans == CUBLAS_OP_N && m >= n",
}
