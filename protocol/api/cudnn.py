"""How the functions of libcudnn.so.9 are answered, as cublas.py says of libcublas: by a body of the same name in shim/dnn, or
refused by name. Descriptors are the client's; what is computed is on the wire, in the structures of
protocol/library/dnn_calls.h.
"""
LIBRARY = "libcudnn.so.9"
FACE = "dnn"
PREFIX = "cudnn"
HEADERS = ["cudnn.h"]
REFUSED_HEADERS = []
ENUMERATORS = r"CUDNN_"

BODIES = """
    cudnnCreate cudnnDestroy cudnnSetStream cudnnGetStream
    cudnnGetVersion cudnnGetCudartVersion cudnnGetMaxDeviceVersion cudnnGetProperty cudnnGetErrorString cudnnGetLastErrorString
    cudnnGraphVersionCheck cudnnOpsVersionCheck cudnnCnnVersionCheck cudnnAdvVersionCheck
    cudnnSetCallback cudnnGetCallback
    cudnnCreateTensorDescriptor cudnnDestroyTensorDescriptor cudnnSetTensor4dDescriptor cudnnSetTensor4dDescriptorEx
    cudnnGetTensor4dDescriptor cudnnSetTensorNdDescriptor cudnnSetTensorNdDescriptorEx cudnnGetTensorNdDescriptor
    cudnnGetTensorSizeInBytes
    cudnnCreateFilterDescriptor cudnnDestroyFilterDescriptor cudnnSetFilter4dDescriptor cudnnGetFilter4dDescriptor
    cudnnSetFilterNdDescriptor cudnnGetFilterNdDescriptor cudnnGetFilterSizeInBytes
    cudnnCreateConvolutionDescriptor cudnnDestroyConvolutionDescriptor
    cudnnSetConvolution2dDescriptor cudnnGetConvolution2dDescriptor
    cudnnSetConvolutionNdDescriptor cudnnGetConvolutionNdDescriptor
    cudnnSetConvolutionMathType cudnnGetConvolutionMathType cudnnSetConvolutionGroupCount cudnnGetConvolutionGroupCount
    cudnnSetConvolutionReorderType cudnnGetConvolutionReorderType
    cudnnGetConvolution2dForwardOutputDim cudnnGetConvolutionNdForwardOutputDim
    cudnnGetConvolutionForwardAlgorithmMaxCount cudnnGetConvolutionBackwardDataAlgorithmMaxCount
    cudnnGetConvolutionBackwardFilterAlgorithmMaxCount
    cudnnGetConvolutionForwardAlgorithm_v7 cudnnGetConvolutionBackwardDataAlgorithm_v7 cudnnGetConvolutionBackwardFilterAlgorithm_v7
    cudnnFindConvolutionForwardAlgorithm cudnnFindConvolutionForwardAlgorithmEx cudnnFindConvolutionBackwardDataAlgorithm
    cudnnFindConvolutionBackwardDataAlgorithmEx cudnnFindConvolutionBackwardFilterAlgorithm
    cudnnFindConvolutionBackwardFilterAlgorithmEx
    cudnnGetConvolutionForwardWorkspaceSize cudnnGetConvolutionBackwardDataWorkspaceSize
    cudnnGetConvolutionBackwardFilterWorkspaceSize
    cudnnConvolutionForward cudnnConvolutionBackwardData cudnnConvolutionBackwardFilter cudnnConvolutionBackwardBias
    cudnnConvolutionBiasActivationForward
    cudnnCreateActivationDescriptor cudnnDestroyActivationDescriptor cudnnSetActivationDescriptor cudnnGetActivationDescriptor
    cudnnSetActivationDescriptorSwishBeta cudnnGetActivationDescriptorSwishBeta cudnnActivationForward cudnnActivationBackward
    cudnnCreatePoolingDescriptor cudnnDestroyPoolingDescriptor cudnnSetPooling2dDescriptor cudnnGetPooling2dDescriptor
    cudnnSetPoolingNdDescriptor cudnnGetPoolingNdDescriptor cudnnGetPooling2dForwardOutputDim cudnnGetPoolingNdForwardOutputDim
    cudnnPoolingForward cudnnPoolingBackward
    cudnnSoftmaxForward cudnnSoftmaxBackward
    cudnnCreateOpTensorDescriptor cudnnDestroyOpTensorDescriptor cudnnSetOpTensorDescriptor cudnnGetOpTensorDescriptor
    cudnnCreateReduceTensorDescriptor cudnnDestroyReduceTensorDescriptor cudnnSetReduceTensorDescriptor
    cudnnGetReduceTensorDescriptor cudnnGetReductionIndicesSize cudnnGetReductionWorkspaceSize
    cudnnAddTensor cudnnOpTensor cudnnReduceTensor cudnnScaleTensor cudnnSetTensor cudnnTransformTensor
    cudnnDeriveBNTensorDescriptor cudnnBatchNormalizationForwardTraining cudnnBatchNormalizationForwardInference
    cudnnBatchNormalizationBackward
    """.split()
# Of those, what is on the wire, and the structure of its words.
STRUCTURES = {
    "cudnnConvolutionForward": "DnnConvolutionForward",
    "cudnnConvolutionBackwardData": "DnnConvolutionBackwardData",
    "cudnnConvolutionBackwardFilter": "DnnConvolutionBackwardFilter",
    "cudnnConvolutionBackwardBias": "DnnConvolutionBackwardBias",
    "cudnnConvolutionBiasActivationForward": "DnnConvolutionBiasActivation",
    "cudnnGetConvolutionForwardAlgorithm_v7": "DnnFindAlgorithms",  # of all directions
    "cudnnActivationForward": "DnnActivationForward",
    "cudnnActivationBackward": "DnnActivationBackward",
    "cudnnPoolingForward": "DnnPoolingForward",
    "cudnnPoolingBackward": "DnnPoolingBackward",
    "cudnnSoftmaxForward": "DnnSoftmaxForward",
    "cudnnSoftmaxBackward": "DnnSoftmaxBackward",
    "cudnnAddTensor": "DnnAddTensor",
    "cudnnOpTensor": "DnnOpTensor",
    "cudnnReduceTensor": "DnnReduceTensor",
    "cudnnScaleTensor": "DnnScaleTensor",
    "cudnnSetTensor": "DnnSetTensor",
    "cudnnTransformTensor": "DnnTransformTensor",
    "cudnnBatchNormalizationForwardTraining": "DnnBatchNormForwardTraining",
    "cudnnBatchNormalizationForwardInference": "DnnBatchNormForwardInference",
    "cudnnBatchNormalizationBackward": "DnnBatchNormBackward",
}

# Refused with CUDNN_STATUS_NOT_SUPPORTED until a body answers them: {why: names}.
REFUSED = {
    "its state of random numbers is not remoted yet": "cudnn*Dropout*",
    "recurrent networks are not remoted yet": "cudnn*RNN*",
    "attention is not remoted yet": "cudnn*Attn* cudnn*SeqData*",
    "CTC loss is not remoted yet": "cudnn*CTC*",
    "the graph API is not remoted yet": "cudnnBackend*",
    "fused operations of cuDNN 7 are not remoted; it calls them deprecated": "cudnn*FusedOps*",
    "it is not remoted yet": """
        cudnn*LRN* cudnnDivisiveNormalization* cudnn*Spatial* cudnn*Normalization* cudnnDeriveNormTensorDescriptor cudnn*TensorTransform*
        cudnnInitTransformDest cudnnTransformTensorEx cudnnTransformFilter cudnnIm2Col cudnnReorderFilterAndBias
        cudnnGetFoldedConvBackwardDataDescriptors cudnnQueryRuntimeError""",
}
WHY_REFUSED = "it is in no header"
