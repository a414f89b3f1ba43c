"""Rules in the form of protocol/api/cublas.py for cublas_small.h, for tests/golden. Their own, so that the goldens stay
what they are when a function moves from refused to answered."""
LIBRARY = "libcublas.so.13"
FACE = "blas"
HEADERS = ["cublas_small.h"]
REFUSED_HEADERS = ["cublas_legacy.h"]
ENUMERATORS = r"(CUBLAS|CUDA)_\w+"

BODIES = "cublasCreate_v2 cublasPlan".split()
STRUCTURES = {"cublasPlan": "PlanWords"}

REFUSED = {"it may not be": "cublasNever", "it cannot be": "cublasXt*"}
WHY_REFUSED = "it is not there yet"
WHY_LEGACY = "it is of old"

RULES = [
    (r"int|int64_t", r".*", "number"),
    (r"cublasOperation_t|cudaDataType", r".*", "enum"),
    (r".*\*const\[\]", r".*", "array"),
    (r"const .*\*", r"alpha|beta|y1", "scalar"),
    (r".*\*", r"result", "result"),
    (r".*\*", r".*", "device"),
]
EXCEPTIONS = {"rotmg": {"d1": "inout", "param": "result"}, "solveBatched": {"info": "host_info"}}
ELEMENTS = {"rotmg": {"param": 5}}
ELEMENT_BYTES = {"ScalEx": {"alpha": "BytesOf(alphaType)"}}

MIXED = {}
UNTYPED = ["ScalEx"]

NOT_NEGATIVE = "m n batchCount".split()
NOT_ZERO = "incx incy".split()
MAY_BE_ZERO = []
UNCHECKED = ["ScalEx"]
ROWS = {"gemv": {"lda": "m"}}
CHECKS = {"solveBatched": "n <= 32"}
SUPPORTED = {"ScalEx": "IsFloat(alphaType)"}
