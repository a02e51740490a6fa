import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { BranchMergeError } from '../errors.js'

/** One safetensors tensor as the native reader found it; `begin` and `end` are absolute file positions. */
export interface NativeTensorInfo {
  name: string
  dtype: string
  shape: number[]
  elements: number
  begin: number
  end: number
}

/** One validated safetensors file. Tensors are in file order. */
export interface NativeFileInfo {
  path: string
  bytes: number
  dataBegin: number
  /** XXH64 of the 8 length bytes and the JSON text, 16 hexadecimal digits. */
  headerHash: string
  metadata: [key: string, value: string][]
  tensors: NativeTensorInfo[]
}

/** `model.safetensors.index.json`, strictly parsed: tensor name → shard file name (a bare name). */
export interface NativeIndex {
  weightMap: [tensor: string, file: string][]
  totalSize: number | undefined
}

/** Options of the fusion arithmetic, resolved: every field is present. */
export interface NativeFusionOptions {
  scope: 'row' | 'tensor'
  divergence: 'right||left' | 'left||right'
  score: 'abs' | 'signed'
  gate: 'ge' | 'gt' | 'soft'
  lambda: number
  epsilon: number
  quantile: 'lower' | 'linear'
  population: 'all' | 'changed'
  nonFinite: 'error' | 'left' | 'right'
}

export interface NativeTensorStats {
  name: string
  dtype: string
  shape: number[]
  elements: number
  /** Elements taken from Right by the gate. */
  kept: number
  /** Both sides hold the same bits: copied without arithmetic. */
  identical: boolean
  /** The threshold is 0 although the tensor changed. */
  degenerate: boolean
  /** Which side was kept whole because of NaN or infinity in either. */
  nonFinite: 'left' | 'right' | undefined
  threshold: number
  q1: number
  median: number
  q3: number
  kl: { min: number; median: number; max: number }
}

/** Bytes `[begin, end)` of an input file. */
export interface NativeByteRange {
  input: number
  begin: number
  end: number
}

/** How a merge is made. */
export type NativeMethod =
  | { method: 'fuse'; fusion: NativeFusionOptions }
  /** A method of docs/methods; a base model is operand 0. One number each, or one for each operand but the base. */
  | { method: string; parameters: Record<string, number[]> }

/** One merge: its operands are models' tensors or the results of earlier steps. */
export type NativeStep = NativeMethod & { operands: ({ model: number } | { step: number })[] }

export interface NativeMergePlan {
  /** Every input file; `bytes` is what the header was validated against. */
  inputs: { path: string; bytes: number }[]
  /** Every file to write (temporary names), each with its `__metadata__`. */
  outputs: {
    path: string
    metadata: [key: string, value: string][]
    /** Bytes from the start that an earlier run left on the disk ({@link NativeWritten}); 0: the file must not exist. */
    written: number
  }[]
  /** Steps in order; the last one of a program gives the result. */
  programs: NativeStep[][]
  /**
   * Those of an output lie in it in this order; outputs may alternate. What consecutive tensors of one name have in common of
   * the inputs is read once.
   */
  tensors: {
    name: string
    dtype: string
    outputDtype: string
    /** Of what is merged. */
    shape: number[]
    /** Where each model has the tensor, and in which dtype: floats are converted to the tensor's as they are read. */
    models: (NativeByteRange & { dtype: string })[]
    program: number
    output: number
    /** Rows that one model alone has, copied behind the merged ones; its range holds them, too. */
    tail: { model: number; rows: number } | undefined
    /** Results of earlier steps keep float32 instead of being rounded to the tensor's dtype. */
    floatIntermediates: boolean
    /** Lies wholly within what an earlier run wrote: neither read nor computed. */
    done: boolean
  }[]
  /** Bytes for tensors in memory. Tensors that need more are read again in every pass, with the same result. */
  memory: number
  threads: number
  /** 'scalar' | 'avx2' | 'avx512'; undefined: the best this CPU runs. */
  instructionSet: string | undefined
  device: NativeDeviceRequest
}

/** Where fusions are to be computed. `indices`: of 'cuda'; none: all devices. */
export interface NativeDeviceRequest {
  kind: 'auto' | 'cpu' | 'cuda'
  indices: number[]
}

export interface NativeDevices {
  compiled: boolean
  /** Versions of CUDA: of this build, and the newest that the driver supports. */
  runtime: string | undefined
  driver: string | undefined
  /** Why no device can be used. */
  unavailable: string | undefined
  devices: {
    index: number
    name: string
    computeCapability: string
    memoryBytes: number
    /** 0 when it was not asked for. */
    freeMemoryBytes: number
    unusable: string | undefined
  }[]
}

/**
 * The first bytes of an output are on the disk, whatever happens next. Comes about every second, after onTensor of the
 * tensors within.
 */
export interface NativeWritten {
  output: number
  bytes: number
}

/** What a merged tensor tells: of each step of its program, and of each model. */
export interface NativeMergedTensor {
  name: string
  /** Position among the plan's outputs. */
  output: number
  steps: NativeTensorStats[]
  /** Hash of the tensor's bytes in each model, see docs/provenance.md. */
  modelHashes: string[]
  /** Where its bytes end in the output file. */
  outputEnd: number
  /** Hash of the result's bytes in the output file, see docs/provenance.md. */
  hash: string
}

/** A file as it lies there. */
export interface NativeFileHashes {
  bytes: number
  headerHash: string
  /** In file order, hashed as {@link NativeMergedTensor.hash}. */
  tensors: [name: string, hash: string][]
}

/** What a merge used of CUDA. */
export interface NativeDeviceUse {
  /** Devices that took part, and bytes of the inputs that each merged. */
  devices: { index: number; bytes: number }[]
  /** Why these, or none. */
  deviceReason: string
  /** Of devices that failed, and that the CPU went on without. */
  warnings: string[]
}

export interface NativeMergeTotals extends NativeDeviceUse {
  bytesRead: number
  bytesWritten: number
  /** Seconds inside the native call. */
  seconds: number
  /** How inputs and outputs were accessed, for the curious: 'direct' (O_DIRECT) or 'buffered'. */
  inputAccess: string
  outputAccess: string
}

/** A file made of given bytes and of tensors of other files; zeros elsewhere. */
export interface NativeCopyPlan {
  /** Must not exist. */
  output: string
  outputBytes: number
  inputs: { path: string; bytes: number }[]
  tensors: {
    /** As messages have it. */
    name: string
    input: number
    begin: number
    end: number
    dtype: string
    outputDtype: string
    /** Position in the output. */
    outputBegin: number
    /** 0, or rows of a head whose two halves are interleaved: row j of the second half becomes row 2j + 1. */
    headRows: number
    rowElements: number
  }[]
}

/** Where one model, or one gradient, has a tensor. */
export type NativeStoredRange = NativeByteRange & { dtype: string }

export interface NativeAnalysisPlan {
  inputs: { path: string; bytes: number }[]
  /** All have as many ranges of each kind: one base where there are experts, else none; at most one merged model. */
  tensors: {
    name: string
    elements: number
    base: NativeStoredRange[]
    experts: NativeStoredRange[]
    merged: NativeStoredRange[]
    gradients: NativeStoredRange[]
  }[]
  /** As of {@link NativeMergePlan}. */
  memory: number
  threads: number
}

/**
 * What a tensor tells of changes Δ = x − base. Arrays of four are of the supports of the largest 1, 5, 10 and 20 % of |Δ|. Pairs
 * i < j are in the order (0,1), (0,2), (1,2), (0,3), …
 */
export interface NativeTensorFindings {
  name: string
  elements: number
  /** Σ base². */
  baseSquares: number
  /** Of each expert. */
  changes: {
    /** Elements with Δ ≠ 0. */
    changed: number
    /** ΣΔ², Σ|Δ|, max |Δ|. */
    squares: number
    magnitudes: number
    largest: number
    /** The least |Δ| of each support, 0 where all that changed are in it; how many elements are. */
    thresholds: number[]
    supports: number[]
  }[]
  pairs: {
    /** ΣΔ_i·Δ_j, Σ|Δ_i·Δ_j|. */
    product: number
    magnitudes: number
    /** Elements that both changed; of these, with different signs. */
    both: number
    opposite: number
    /** The same of the supports. */
    shared: number[]
    sharedOpposite: number[]
  }[]
  merged: {
    /** Σ(merged − base)². */
    squares: number
    /** Elements that differ from the base; of these, with the value of an expert. */
    changed: number
    fromExperts: number
    /** Σ(merged − base)·Δ; of the elements that the expert changed, those with its value and with the base's. */
    experts: { product: number; taken: number; undone: number }[]
  }
  /** Of each domain, and of each pair. */
  gradientSquares: number[]
  gradientProducts: number[]
}

export interface NativeAnalysisTotals {
  bytesRead: number
  seconds: number
  inputAccess: string
}

export interface NativeProgress {
  bytesDone: number
  bytesTotal: number
  tensorsDone: number
  tensorsTotal: number
}

/** A piece of work off the JavaScript thread. After `cancel()` the promise rejects with ERR_CANCELLED. */
export interface NativeJob<T> {
  promise: Promise<T>
  cancel(): void
}

export interface Native {
  version(): string
  /** What this build and CPU can do. */
  info(): {
    compiler: string
    instructionSets: string[]
    bestInstructionSet: string
    ioUring: boolean
  }
  /** The CUDA devices of this machine. `memory`: with their free bytes, which takes a part of a second. */
  devices(memory: boolean): NativeJob<NativeDevices>
  /** Reads and validates the header of one safetensors file. */
  readHeader(path: string): NativeJob<NativeFileInfo>
  /** Takes the lock of an open file (flock) until it is closed; false where another process has it. */
  lockFile(descriptor: number): boolean
  /** Parses and checks an index; the text is that of the file `path`. */
  parseIndex(path: string, text: Uint8Array): NativeIndex
  /** Reads a whole safetensors file and hashes its tensors. */
  hashFile(path: string, threads: number): NativeJob<NativeFileHashes>
  /** Hashes of byte ranges of a file, each as a merge has that of an input's tensor. */
  hashRanges(path: string, ranges: [begin: number, end: number][], threads: number): NativeJob<string[]>
  /** Whether two byte ranges hold the same bytes (tied weights). */
  equalRanges(
    left: { path: string; begin: number; end: number },
    right: { path: string; begin: number; end: number },
  ): NativeJob<boolean>
  /** Writes and syncs one file; publishing it is the caller's. Progress: bytes of tensors that are written. */
  copyTensors(
    plan: NativeCopyPlan,
    header: Uint8Array,
    onProgress: ((bytes: number) => void) | undefined,
  ): NativeJob<undefined>
  /** Compares tensor by tensor; onTensor comes in the plan's order. */
  analyseCheckpoints(
    plan: NativeAnalysisPlan,
    onProgress: ((progress: NativeProgress) => void) | undefined,
    onTensor: ((findings: NativeTensorFindings) => void) | undefined,
  ): NativeJob<NativeAnalysisTotals>
  /** Merges tensors in memory into `out`. The name is that of messages and of random numbers (docs/methods). */
  mergeTensor(
    input: {
      name: string
      dtype: string
      outputDtype: string
      shape: number[]
      operands: ArrayBufferView[]
      out: ArrayBufferView
    },
    method: NativeMethod,
    threads: number,
    instructionSet: string | undefined,
    onProgress: ((progress: NativeProgress) => void) | undefined,
  ): NativeJob<NativeTensorStats>
  /** Writes and syncs the output files of the plan; publishing them is the caller's. */
  mergeCheckpoints(
    plan: NativeMergePlan,
    onProgress: ((progress: NativeProgress) => void) | undefined,
    onTensor: ((merged: NativeMergedTensor) => void) | undefined,
    onWritten: ((written: NativeWritten) => void) | undefined,
    /** Before the promise rejects: position of the output whose tensor could not be merged; the first call counts. */
    onFailure: ((output: number) => void) | undefined,
  ): NativeJob<NativeMergeTotals>
}

const root = fileURLToPath(new URL('../../', import.meta.url))

function load(): Native {
  try {
    return createRequire(import.meta.url)('node-gyp-build')(root) as Native
  } catch (cause) {
    throw new BranchMergeError(
      'ERR_NATIVE_MISSING',
      [
        `No working native build of branchmerge for ${process.platform}-${process.arch}, Node ${process.versions.node}:`,
        `  ${(cause as Error).message.trim().replaceAll('\n', '\n  ')}`,
        'To build it here (CMake 3.21 or newer and a C++20 compiler; CUDA is optional):',
        `  cd ${root} && npx cmake-js build`,
      ].join('\n'),
      { cause },
    )
  }
}

export const native: Native = load()
