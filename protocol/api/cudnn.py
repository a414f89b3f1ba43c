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
    cudnnCreateDropoutDescriptor cudnnDestroyDropoutDescriptor cudnnDropoutGetStatesSize cudnnDropoutGetReserveSpaceSize
    cudnnSetDropoutDescriptor cudnnRestoreDropoutDescriptor cudnnGetDropoutDescriptor cudnnDropoutForward cudnnDropoutBackward
    cudnnCreateRNNDescriptor cudnnDestroyRNNDescriptor cudnnSetRNNDescriptor_v8 cudnnGetRNNDescriptor_v8
    cudnnRNNSetClip_v8 cudnnRNNSetClip_v9 cudnnRNNGetClip_v8 cudnnRNNGetClip_v9 cudnnBuildRNNDynamic
    cudnnCreateRNNDataDescriptor cudnnDestroyRNNDataDescriptor cudnnSetRNNDataDescriptor cudnnGetRNNDataDescriptor
    cudnnGetRNNTempSpaceSizes cudnnGetRNNWeightSpaceSize cudnnGetRNNWeightParams
    cudnnRNNForward cudnnRNNBackwardData_v8 cudnnRNNBackwardWeights_v8
    cudnnCreateLRNDescriptor cudnnDestroyLRNDescriptor cudnnSetLRNDescriptor cudnnGetLRNDescriptor
    cudnnLRNCrossChannelForward cudnnLRNCrossChannelBackward cudnnDivisiveNormalizationForward cudnnDivisiveNormalizationBackward
    cudnnCreateSpatialTransformerDescriptor cudnnDestroySpatialTransformerDescriptor cudnnSetSpatialTransformerNdDescriptor
    cudnnSpatialTfGridGeneratorForward cudnnSpatialTfGridGeneratorBackward cudnnSpatialTfSamplerForward cudnnSpatialTfSamplerBackward
    cudnnCreateCTCLossDescriptor cudnnDestroyCTCLossDescriptor cudnnSetCTCLossDescriptor cudnnSetCTCLossDescriptorEx
    cudnnSetCTCLossDescriptor_v8 cudnnSetCTCLossDescriptor_v9 cudnnGetCTCLossDescriptor cudnnGetCTCLossDescriptorEx
    cudnnGetCTCLossDescriptor_v8 cudnnGetCTCLossDescriptor_v9 cudnnGetCTCLossWorkspaceSize cudnnGetCTCLossWorkspaceSize_v8
    cudnnCTCLoss cudnnCTCLoss_v8
    cudnnBatchNormalizationForwardTrainingEx cudnnBatchNormalizationBackwardEx
    cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize cudnnGetBatchNormalizationBackwardExWorkspaceSize
    cudnnGetBatchNormalizationTrainingExReserveSpaceSize
    cudnnDeriveNormTensorDescriptor cudnnNormalizationForwardTraining cudnnNormalizationForwardInference cudnnNormalizationBackward
    cudnnGetNormalizationForwardTrainingWorkspaceSize cudnnGetNormalizationBackwardWorkspaceSize
    cudnnGetNormalizationTrainingReserveSpaceSize
    cudnnCreateTensorTransformDescriptor cudnnDestroyTensorTransformDescriptor cudnnSetTensorTransformDescriptor
    cudnnGetTensorTransformDescriptor cudnnInitTransformDest cudnnTransformTensorEx cudnnTransformFilter cudnnIm2Col
    cudnnReorderFilterAndBias cudnnGetFoldedConvBackwardDataDescriptors cudnnQueryRuntimeError
    cudnnCreateSeqDataDescriptor cudnnDestroySeqDataDescriptor cudnnSetSeqDataDescriptor cudnnGetSeqDataDescriptor
    cudnnCreateAttnDescriptor cudnnDestroyAttnDescriptor cudnnSetAttnDescriptor cudnnGetAttnDescriptor
    cudnnGetMultiHeadAttnBuffers cudnnGetMultiHeadAttnWeights
    cudnnMultiHeadAttnForward cudnnMultiHeadAttnBackwardData cudnnMultiHeadAttnBackwardWeights
    cudnnBackendCreateDescriptor cudnnBackendDestroyDescriptor cudnnBackendInitialize cudnnBackendFinalize
    cudnnBackendSetAttribute cudnnBackendGetAttribute cudnnBackendExecute cudnnBackendPopulateCudaGraph cudnnBackendUpdateCudaGraph
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
    "cudnnDropoutGetStatesSize": "DnnDropoutSizes",
    "cudnnSetDropoutDescriptor": "DnnDropoutSeed",
    "cudnnDropoutForward": "DnnDropoutForward",
    "cudnnDropoutBackward": "DnnDropoutBackward",
    "cudnnGetRNNTempSpaceSizes": "DnnRnnSizes",
    "cudnnGetRNNWeightParams": "DnnRnnWeights",
    "cudnnRNNForward": "DnnRnnForward",
    "cudnnRNNBackwardData_v8": "DnnRnnBackwardData",
    "cudnnRNNBackwardWeights_v8": "DnnRnnBackwardWeights",
    "cudnnLRNCrossChannelForward": "DnnLrnForward",
    "cudnnLRNCrossChannelBackward": "DnnLrnBackward",
    "cudnnDivisiveNormalizationForward": "DnnDivisiveForward",
    "cudnnDivisiveNormalizationBackward": "DnnDivisiveBackward",
    "cudnnSpatialTfGridGeneratorForward": "DnnGridForward",
    "cudnnSpatialTfGridGeneratorBackward": "DnnGridBackward",
    "cudnnSpatialTfSamplerForward": "DnnSamplerForward",
    "cudnnSpatialTfSamplerBackward": "DnnSamplerBackward",
    "cudnnGetCTCLossWorkspaceSize": "DnnCtcSizes",  # of both versions
    "cudnnCTCLoss": "DnnCtcLoss",
    "cudnnGetNormalizationForwardTrainingWorkspaceSize": "DnnNormSizes",  # of all sizes, also of cudnnBatchNormalization...Ex
    "cudnnNormalizationForwardTraining": "DnnNormForwardTraining",  # as are these
    "cudnnNormalizationForwardInference": "DnnNormForwardInference",
    "cudnnNormalizationBackward": "DnnNormBackward",
    "cudnnTransformTensorEx": "DnnTransformEx",
    "cudnnTransformFilter": "DnnTransformFilter",
    "cudnnIm2Col": "DnnIm2Col",
    "cudnnBackendFinalize": "DnnGraphQuery",
    "cudnnBackendExecute": "DnnGraphExecute",
    "cudnnGetMultiHeadAttnBuffers": "DnnAttentionSizes",
    "cudnnGetMultiHeadAttnWeights": "DnnAttentionWeights",
    "cudnnMultiHeadAttnForward": "DnnAttentionForward",
    "cudnnMultiHeadAttnBackwardData": "DnnAttentionBackwardData",
    "cudnnMultiHeadAttnBackwardWeights": "DnnAttentionBackwardWeights",
}

# Refused with CUDNN_STATUS_NOT_SUPPORTED until a body answers them: {why: names}.
REFUSED = {
    "fused operations of cuDNN 7 are not remoted; it calls them deprecated": "cudnn*FusedOps*",
}
# Bodies that check what they are given, and then refuse with a status of their own. {why: names}
BODIES_THAT_REFUSE = {
    "no engine has the note of CUDA graphs; an execution can be captured": "cudnnBackendPopulateCudaGraph cudnnBackendUpdateCudaGraph",
    "it is for vectors of channels, which are not remoted yet": "cudnnReorderFilterAndBias",
}
WHY_REFUSED = "it is in no header"
