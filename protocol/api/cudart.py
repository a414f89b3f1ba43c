"""How libcudart.so.13 is answered. The generator (protocol/gen/entry.py) reads signatures from the toolkit's headers;
nothing is retyped here. A name in a block of `answered` has a hand-written body of the same name in shim/runtime (else the
link fails); what stays refused says why in REFUSED; every other name the library exports is refused with
cudaErrorNotSupported and said once, by name.

To add a function: put its name into the block of its noun, which is the file of shim/runtime that has its body. A variant
(_ptsz, _ptds) is answered with its base and named nowhere.
"""

LIBRARY = "libcudart.so.13"

LOCAL = []  # answered from client state: nothing is sent
SENT = []   # posted to the command stream, or waiting for its progress, or a call; docs/semantics.md has the row of each


def answered(noun, local="", sent=""):
    """The functions whose bodies are in shim/runtime/NOUN*.cpp."""
    LOCAL.extend(local.split())
    SENT.extend(sent.split())


answered("device", local="""
cudaGetDevice cudaSetDevice cudaGetDeviceCount cudaSetDeviceFlags
cudaGetDeviceProperties cudaDeviceGetAttribute cudaDeviceGetPCIBusId
cudaDriverGetVersion cudaRuntimeGetVersion
cudaPointerGetAttributes
cudaGetDeviceFlags cudaChooseDevice cudaSetValidDevices cudaInitDevice cudaDeviceGetByPCIBusId
cudaDeviceGetTexture1DLinearMaxWidth cudaDeviceFlushGPUDirectRDMAWrites cudaProfilerStart cudaProfilerStop
cudaDeviceRegisterAsyncNotification cudaDeviceUnregisterAsyncNotification
""", sent="""
cudaDeviceSynchronize cudaDeviceReset
""")

answered("limit", local="""
cudaDeviceGetLimit cudaDeviceSetLimit cudaDeviceGetCacheConfig cudaDeviceSetCacheConfig
cudaDeviceGetSharedMemConfig cudaDeviceSetSharedMemConfig cudaCtxResetPersistingL2Cache
""")

answered("error", local="""
cudaGetLastError cudaPeekAtLastError cudaGetErrorName cudaGetErrorString
""")

answered("log", local="""
cudaLogsRegisterCallback cudaLogsUnregisterCallback cudaLogsCurrent cudaLogsDumpToFile cudaLogsDumpToMemory
""")

answered("memory", local="""
cudaMemGetInfo
""", sent="""
cudaMalloc cudaFree cudaMallocPitch cudaMalloc3D
cudaMemset cudaMemsetAsync cudaMemset2D cudaMemset2DAsync cudaMemset3D cudaMemset3DAsync
""")

answered("host_memory", local="""
cudaHostGetFlags
""", sent="""
cudaMallocHost cudaHostAlloc cudaFreeHost cudaHostGetDevicePointer cudaHostRegister cudaHostUnregister
""")

answered("managed", local="""
cudaMemAdvise cudaMemRangeGetAttribute cudaMemRangeGetAttributes cudaMemPrefetchAsync cudaMemPrefetchBatchAsync
cudaMemDiscardBatchAsync cudaMemDiscardAndPrefetchBatchAsync cudaStreamAttachMemAsync
""", sent="""
cudaMallocManaged
""")

answered("pool", local="""
cudaDeviceGetDefaultMemPool cudaDeviceGetMemPool cudaDeviceSetMemPool
cudaMemGetDefaultMemPool cudaMemGetMemPool cudaMemSetMemPool
cudaMemPoolCreate cudaMemPoolDestroy cudaMemPoolSetAttribute cudaMemPoolGetAttribute
cudaMemPoolSetAccess cudaMemPoolGetAccess
""", sent="""
cudaMallocAsync cudaFreeAsync cudaMallocFromPoolAsync cudaMemPoolTrimTo
""")

answered("array", local="""
cudaGetMipmappedArrayLevel cudaArrayGetInfo cudaArrayGetPlane cudaGetChannelDesc cudaCreateChannelDesc
cudaArrayGetMemoryRequirements cudaMipmappedArrayGetMemoryRequirements
cudaArrayGetSparseProperties cudaMipmappedArrayGetSparseProperties
""", sent="""
cudaMallocArray cudaMalloc3DArray cudaFreeArray cudaMallocMipmappedArray cudaFreeMipmappedArray
cudaMemcpy2DToArray cudaMemcpy2DToArrayAsync cudaMemcpy2DFromArray cudaMemcpy2DFromArrayAsync
cudaMemcpy2DArrayToArray cudaMemcpyArrayToArray
cudaMemcpyToArray cudaMemcpyToArrayAsync cudaMemcpyFromArray cudaMemcpyFromArrayAsync
""")

answered("texture", local="""
cudaGetTextureObjectResourceDesc cudaGetTextureObjectTextureDesc cudaGetTextureObjectResourceViewDesc
cudaGetSurfaceObjectResourceDesc
""", sent="""
cudaCreateTextureObject cudaDestroyTextureObject cudaCreateSurfaceObject cudaDestroySurfaceObject
""")

answered("copy", local="""
cudaGetSymbolAddress cudaGetSymbolSize
""", sent="""
cudaMemcpy cudaMemcpyAsync cudaMemcpy2D cudaMemcpy2DAsync cudaMemcpy3D cudaMemcpy3DAsync
cudaMemcpyBatchAsync cudaMemcpy3DBatchAsync
cudaMemcpyToSymbol cudaMemcpyToSymbolAsync cudaMemcpyFromSymbol cudaMemcpyFromSymbolAsync
""")

answered("peer", local="""
cudaDeviceCanAccessPeer cudaDeviceEnablePeerAccess cudaDeviceDisablePeerAccess
cudaDeviceGetP2PAttribute cudaDeviceGetP2PAtomicCapabilities cudaDeviceGetHostAtomicCapabilities
""", sent="""
cudaMemcpyPeer cudaMemcpyPeerAsync cudaMemcpy3DPeer cudaMemcpy3DPeerAsync
""")

answered("ipc", local="""
cudaIpcGetEventHandle
""", sent="""
cudaIpcGetMemHandle cudaIpcOpenMemHandle cudaIpcCloseMemHandle cudaIpcOpenEventHandle
""")

answered("stream", local="""
cudaDeviceGetStreamPriorityRange cudaStreamGetFlags cudaStreamGetPriority cudaStreamGetDevice
cudaStreamGetId cudaStreamGetAttribute cudaStreamSetAttribute cudaStreamCopyAttributes
""", sent="""
cudaStreamCreate cudaStreamCreateWithFlags cudaStreamCreateWithPriority cudaStreamDestroy
cudaStreamSynchronize cudaStreamQuery cudaStreamWaitEvent
""")

answered("event", sent="""
cudaEventCreate cudaEventCreateWithFlags cudaEventDestroy
cudaEventRecord cudaEventRecordWithFlags cudaEventQuery cudaEventSynchronize cudaEventElapsedTime
""")

answered("callback", sent="""
cudaLaunchHostFunc cudaStreamAddCallback
""")

answered("kernel", local="""
cudaFuncGetAttributes cudaFuncSetAttribute cudaFuncSetCacheConfig cudaFuncSetSharedMemConfig
cudaFuncGetName cudaFuncGetParamInfo cudaGetFuncBySymbol cudaKernelSetAttributeForDevice
""")

answered("occupancy", local="""
cudaOccupancyMaxActiveBlocksPerMultiprocessor cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags
cudaOccupancyAvailableDynamicSMemPerBlock cudaOccupancyMaxPotentialClusterSize cudaOccupancyMaxActiveClusters
""")

answered("launch", local="""
cudaGetKernel
""", sent="""
cudaLaunchKernel cudaLaunchKernelExC cudaLaunchCooperativeKernel
""")

answered("library", local="""
cudaLibraryLoadData cudaLibraryLoadFromFile cudaLibraryGetUnifiedFunction
""", sent="""
cudaLibraryUnload cudaLibraryGetKernel cudaLibraryGetKernelCount cudaLibraryEnumerateKernels
cudaLibraryGetGlobal cudaLibraryGetManaged
""")

answered("graph", local="""
cudaGraphCreate cudaGraphDestroy cudaGraphClone cudaGraphNodeFindInClone cudaGraphNodeGetType
cudaGraphGetNodes cudaGraphGetRootNodes cudaGraphGetEdges cudaGraphNodeGetDependencies cudaGraphNodeGetDependentNodes
cudaGraphAddDependencies cudaGraphRemoveDependencies cudaGraphDestroyNode cudaGraphDebugDotPrint
cudaGraphAddNode cudaGraphNodeSetParams cudaGraphConditionalHandleCreate
cudaGraphAddKernelNode cudaGraphKernelNodeGetParams cudaGraphKernelNodeSetParams
cudaGraphKernelNodeGetAttribute cudaGraphKernelNodeSetAttribute cudaGraphKernelNodeCopyAttributes
cudaGraphAddMemcpyNode cudaGraphAddMemcpyNode1D cudaGraphAddMemcpyNodeToSymbol cudaGraphAddMemcpyNodeFromSymbol
cudaGraphMemcpyNodeGetParams cudaGraphMemcpyNodeSetParams cudaGraphMemcpyNodeSetParams1D
cudaGraphMemcpyNodeSetParamsToSymbol cudaGraphMemcpyNodeSetParamsFromSymbol
cudaGraphAddMemsetNode cudaGraphMemsetNodeGetParams cudaGraphMemsetNodeSetParams
cudaGraphAddHostNode cudaGraphHostNodeGetParams cudaGraphHostNodeSetParams
cudaGraphAddEventRecordNode cudaGraphEventRecordNodeGetEvent cudaGraphEventRecordNodeSetEvent
cudaGraphAddEventWaitNode cudaGraphEventWaitNodeGetEvent cudaGraphEventWaitNodeSetEvent
cudaGraphAddChildGraphNode cudaGraphChildGraphNodeGetGraph cudaGraphAddEmptyNode
cudaGraphAddMemAllocNode cudaGraphMemAllocNodeGetParams cudaGraphAddMemFreeNode cudaGraphMemFreeNodeGetParams
cudaDeviceGetGraphMemAttribute cudaDeviceSetGraphMemAttribute
cudaUserObjectCreate cudaUserObjectRetain cudaUserObjectRelease cudaGraphRetainUserObject cudaGraphReleaseUserObject
cudaGraphExecGetFlags cudaGraphNodeGetEnabled cudaGraphExecUpdate cudaGraphExecNodeSetParams cudaGraphNodeSetEnabled
cudaGraphExecKernelNodeSetParams cudaGraphExecMemcpyNodeSetParams cudaGraphExecMemcpyNodeSetParams1D
cudaGraphExecMemcpyNodeSetParamsToSymbol cudaGraphExecMemcpyNodeSetParamsFromSymbol cudaGraphExecMemsetNodeSetParams
cudaGraphExecHostNodeSetParams cudaGraphExecChildGraphNodeSetParams
cudaGraphExecEventRecordNodeSetEvent cudaGraphExecEventWaitNodeSetEvent
""", sent="""
cudaGraphInstantiate cudaGraphInstantiateWithFlags cudaGraphInstantiateWithParams cudaGraphExecDestroy
cudaGraphUpload cudaGraphLaunch cudaDeviceGraphMemTrim
""")

answered("capture", local="""
cudaStreamBeginCapture cudaStreamBeginCaptureToGraph cudaStreamEndCapture cudaStreamIsCapturing
cudaStreamGetCaptureInfo cudaStreamUpdateCaptureDependencies cudaThreadExchangeStreamCaptureMode
""")

answered("driver", local="""
cudaGetDriverEntryPoint cudaGetDriverEntryPointByVersion
""")

BODIES = LOCAL + SENT

# Calls that CUDA refuses while a stream captures, by the rule of shim/runtime/capture.h; what is put into a stream is
# looked at where that is done, and so are questions about one stream or event.
REFUSED_IN_CAPTURE = {
    "kUnsafe": """
        cudaMalloc cudaFree cudaMallocPitch cudaMalloc3D cudaMallocManaged cudaMallocHost cudaHostAlloc cudaFreeHost
        cudaHostRegister cudaHostUnregister cudaMallocArray cudaMalloc3DArray cudaMallocMipmappedArray
        cudaFreeArray cudaFreeMipmappedArray cudaMemPoolTrimTo
        """,
    "kLegacyStream": """
        cudaMemcpy cudaMemcpy2D cudaMemcpy3D cudaMemcpyPeer cudaMemcpy3DPeer cudaMemcpyToSymbol cudaMemcpyFromSymbol
        cudaMemcpy2DToArray cudaMemcpy2DFromArray cudaMemcpy2DArrayToArray cudaMemcpyToArray cudaMemcpyFromArray
        cudaMemcpyArrayToArray cudaMemset cudaMemset2D cudaMemset3D
        """,
    "kDevice": """
        cudaDeviceSynchronize
        """,
}

# What stays refused, and why: the reason stands in the line that the program's first call of it logs, and on
# docs/coverage/cudart.md. Whatever is neither here nor answered is refused as WHY_REFUSED says.
REFUSED = {
    "a remote GPU draws on no display of this machine": """
        cudaGLGetDevices cudaGLMapBufferObject cudaGLMapBufferObjectAsync cudaGLRegisterBufferObject cudaGLSetBufferObjectMapFlags
        cudaGLSetGLDevice cudaGLUnmapBufferObject cudaGLUnmapBufferObjectAsync cudaGLUnregisterBufferObject
        cudaGraphicsGLRegisterBuffer cudaGraphicsGLRegisterImage
        cudaGraphicsMapResources cudaGraphicsUnmapResources cudaGraphicsUnregisterResource cudaGraphicsResourceSetMapFlags
        cudaGraphicsResourceGetMappedPointer cudaGraphicsResourceGetMappedMipmappedArray cudaGraphicsSubResourceGetMappedArray
        cudaEGLStreamConsumerAcquireFrame cudaEGLStreamConsumerConnect cudaEGLStreamConsumerConnectWithFlags
        cudaEGLStreamConsumerDisconnect cudaEGLStreamConsumerReleaseFrame cudaEGLStreamProducerConnect
        cudaEGLStreamProducerDisconnect cudaEGLStreamProducerPresentFrame cudaEGLStreamProducerReturnFrame
        cudaEventCreateFromEGLSync cudaGraphicsEGLRegisterImage cudaGraphicsResourceGetMappedEglFrame
        cudaVDPAUGetDevice cudaVDPAUSetVDPAUDevice cudaGraphicsVDPAURegisterOutputSurface cudaGraphicsVDPAURegisterVideoSurface
        """,
    "NvSci objects belong to a driver of this machine": """
        cudaDeviceGetNvSciSyncAttributes
        """,
    "memory and semaphores of another driver on this machine cannot reach a remote GPU": """
        cudaImportExternalMemory cudaDestroyExternalMemory cudaExternalMemoryGetMappedBuffer cudaExternalMemoryGetMappedMipmappedArray
        cudaImportExternalSemaphore cudaDestroyExternalSemaphore cudaSignalExternalSemaphoresAsync cudaWaitExternalSemaphoresAsync
        cudaGraphAddExternalSemaphoresSignalNode cudaGraphAddExternalSemaphoresWaitNode
        cudaGraphExternalSemaphoresSignalNodeGetParams cudaGraphExternalSemaphoresSignalNodeSetParams
        cudaGraphExternalSemaphoresWaitNodeGetParams cudaGraphExternalSemaphoresWaitNodeSetParams
        cudaGraphExecExternalSemaphoresSignalNodeSetParams cudaGraphExecExternalSemaphoresWaitNodeSetParams
        """,
    "pools hold memory of one process only": """
        cudaMemPoolExportToShareableHandle cudaMemPoolImportFromShareableHandle cudaMemPoolExportPointer cudaMemPoolImportPointer
        """,
    "host code on the device's side needs a device that reads the program's memory, which no remote GPU does": """
        __cudaRegisterHostVar __cudaRegisterUnifiedTable
        """,
    "this release has no driver interface": """
        cudaGetDriverEntryPoint cudaGetDriverEntryPointByVersion __cudaGetProcAddress cudaGetExportTable
        """,
}
WHY_REFUSED = "this release does not remote it yet"
# Refused by an answer that CUDA has for it: these have a body nevertheless.
REFUSED_BY_BODY = "cudaGetDriverEntryPoint cudaGetDriverEntryPointByVersion".split()

# In no header that can be parsed on its own: what nvcc's host stubs call. (return type, name, parameters)
STUBS = [
    ("void**", "__cudaRegisterFatBinary", "void* wrapper"),
    ("void", "__cudaRegisterFatBinaryEnd", "void** handle"),
    ("void", "__cudaUnregisterFatBinary", "void** handle"),
    ("void", "__cudaRegisterFunction", "void** handle, const char* host_function, char* device_function, const char* device_name, "
     "int thread_limit, uint3* tid, uint3* bid, dim3* block_dim, dim3* grid_dim, int* warp_size"),
    ("void", "__cudaRegisterVar", "void** handle, char* host_variable, char* device_address, const char* device_name, int external, "
     "size_t bytes, int constant, int global"),
    ("void", "__cudaRegisterManagedVar", "void** handle, void** host_variable, char* device_address, const char* device_name, "
     "int external, size_t bytes, int constant, int global"),
    ("char", "__cudaInitModule", "void** handle"),
    ("unsigned", "__cudaPushCallConfiguration", "dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream"),
    ("cudaError_t", "__cudaPopCallConfiguration", "dim3* grid, dim3* block, size_t* shared_bytes, void* stream"),
    ("cudaError_t", "__cudaGetKernel", "cudaKernel_t* kernel, const void* host_function"),
    ("cudaError_t", "__cudaLaunchKernel", "cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream"),
]
