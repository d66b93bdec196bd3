//! With the feature `cuda`: the kernels beside this file to PTX, by the compiler and for the compute capability that
//! candle's own are made with (`CUDA_COMPUTE_CAP`, else what nvidia-smi says). Otherwise nothing.

fn main() {
    println!("cargo::rerun-if-changed=ops/cuda");
    #[cfg(feature = "cuda")]
    {
        let kernels = cudaforge::KernelBuilder::new()
            .source_files(["ops/cuda/depthwise.cu"])
            .watch(["ops/cuda/depthwise.cuh"])
            .arg("-std=c++17")
            .arg("-O3")
            .build_ptx();
        if let Err(error) = kernels {
            println!("cargo::error=the CUDA kernels of src/backbones/ops/cuda: {error}");
        }
    }
}
