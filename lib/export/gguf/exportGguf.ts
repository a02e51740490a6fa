import { rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { decoderShape, type Family, readConfigJson } from '../../checkpoint/decoderShape.js'
import { type Checkpoint, openCheckpoint } from '../../checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../../errors.js'
import { sync, write } from '../../files/durableFiles.js'
import { checkFreeSpace } from '../../files/outputDirectory.js'
import { keepAlive, newToken, partialSuffix, removeAbandoned } from '../../files/owners.js'
import { refuseExisting } from '../../files/writeWhole.js'
import type { Progress } from '../../fusion/progress.js'
import type { DownloadProgress } from '../../hub/download.js'
import { fetchPlaces } from '../../hub/hub.js'
import { parseHubName, placeFromFile } from '../../hub/hubName.js'
import { type NativeCopyPlan, native } from '../../native/native.js'
import { runJob } from '../../native/runJob.js'
import { checkBoolean, checkChoice, checkFunction, checkOptionNames, checkPath, checkSignal } from '../../validate.js'
import { type GgufDtype, type GgufLayout, type GgufTensor, ggufDtypes, layOut, tensorBytes } from './ggufFile.js'
import { llama3Factors, modelMetadata } from './ggufModel.js'
import { type ExportedTensor, exportedTensors } from './ggufTensors.js'
import { tokenizerMetadata } from './ggufTokenizer.js'

/** Where a GGUF file goes and what its weights are stored as. */
export interface ExportGgufOptions {
  /** File to write. */
  out: string
  /** Of the matrices; norms and biases are F32. Default: 'BF16'. */
  dtype?: GgufDtype | undefined
  /** A directory with the tokenizer. Default: that of the checkpoint. */
  tokenizer?: string | undefined
  /** Replace the file. Default: false. */
  overwrite?: boolean | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress) => void) | undefined
  /** Called now and then while a model of the Hub is fetched. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined
}

/** What was written; the command's `--json` prints it. */
export interface ExportGgufSummary {
  out: string
  family: Family
  dtype: GgufDtype
  tensors: number
  bytes: number
  seconds: number
}

const optionNames = [
  'out',
  'dtype',
  'tokenizer',
  'overwrite',
  'signal',
  'onProgress',
  'onDownload',
] as const satisfies (keyof ExportGgufOptions)[]

/** `file_type` of the metadata: what most of the weights are. */
const fileTypes = { F32: 0, F16: 1, BF16: 32 } as const satisfies Record<GgufDtype, number>

/** The divisors of Llama 3's frequencies are a tensor that the checkpoint does not have. */
interface FactorTensor extends GgufTensor {
  values: number[]
}

/**
 * Writes a checkpoint of Qwen2, Llama or Qwen3 as one GGUF file for llama.cpp, with its tokenizer and chat template. Values
 * are rounded to nearest even where the dtype is narrower. The file appears when it is complete.
 *
 * @param path - directory of the checkpoint, with config.json and tokenizer.json, or the name of a model on the Hub
 * @throws ERR_MODEL_UNSUPPORTED, ERR_TOKENIZER, ERR_CONFIG_JSON, ERR_TENSOR_MISSING, ERR_SHAPE_MISMATCH,
 *   ERR_DTYPE_UNSUPPORTED, ERR_NON_FINITE, ERR_OUTPUT_EXISTS, ERR_OUTPUT_WRITE, ERR_DISK_FULL and what {@link openCheckpoint} throws; then
 *   nothing is left
 */
export async function exportGguf(path: string, options: ExportGgufOptions): Promise<ExportGgufSummary> {
  const started = performance.now()
  checkOptionNames(options, optionNames)
  const out = checkPath(options.out, 'out')
  const dtype = options.dtype === undefined ? 'BF16' : checkChoice(options.dtype, 'dtype', ggufDtypes)
  const overwrite = options.overwrite === undefined ? false : checkBoolean(options.overwrite, 'overwrite')
  const signal = checkSignal(options.signal)
  const onProgress = options.onProgress && checkFunction(options.onProgress, 'onProgress')
  const onDownload = checkFunction(options.onDownload, 'onDownload')
  const place = placeFromFile(checkPath(path, 'path'), '.', 'model')
  const tokenizerPlace =
    options.tokenizer === undefined ? place : placeFromFile(checkPath(options.tokenizer, 'tokenizer'), '.', 'model')
  await refuseExisting(out, overwrite)
  const [model, ofTokenizer] = await fetchPlaces(
    [
      { place, wanted: 'model' },
      { place: tokenizerPlace, wanted: 'tokenizer' },
    ],
    { signal, onProgress: onDownload },
  )
  const checkpoint = await openCheckpoint(model?.paths[0] as string, { signal })
  const directory = checkpoint.directory
  if (directory === undefined) {
    throw new BranchMergeError(
      'ERR_CONFIG_JSON',
      `Expected a directory with config.json and a tokenizer but ${path} is a file of weights. Pass its directory.`,
    )
  }

  const configPath = join(directory, 'config.json')
  const config = await readConfigJson(configPath)
  const shape = decoderShape(config, configPath)
  const tensors = exportedTensors(checkpoint, shape, dtype)
  const factors = llama3Factors(config, shape, configPath)
  const tokenizer = ofTokenizer?.paths[0] as string
  const layout = layOut<ExportedTensor | FactorTensor>(
    new Map([
      ...modelMetadata(config, shape, configPath),
      ['general.name', { type: 'string', value: basename(parseHubName(place, 'model')?.repository ?? directory) }],
      ['general.file_type', { type: 'uint32', value: fileTypes[dtype] }],
      ...(await tokenizerMetadata(tokenizer, config, shape.vocabularySize)),
    ]),
    [...factorTensor(factors), ...tensors],
  )
  await removeAbandoned(dirname(out), `${basename(out)}.`)
  await checkFreeSpace(dirname(out), layout.bytes)
  await writeFile({ out, checkpoint, layout, factors, tensors: tensors.length, signal, onProgress })
  const seconds = (performance.now() - started) / 1000
  return { out, family: shape.family, dtype, tensors: layout.tensors.length, bytes: layout.bytes, seconds }
}

function factorTensor(values: number[] | undefined): FactorTensor[] {
  return values ? [{ name: 'rope_freqs.weight', dtype: 'F32', shape: [values.length], values }] : []
}

interface Writing {
  out: string
  checkpoint: Checkpoint
  layout: GgufLayout<ExportedTensor | FactorTensor>
  factors: number[] | undefined
  tensors: number
  signal: AbortSignal | undefined
  onProgress: ((progress: Progress) => void) | undefined
}

async function writeFile({ out, checkpoint, layout, factors, tensors, signal, onProgress }: Writing): Promise<void> {
  const temporary = `${out}.${newToken()}${partialSuffix}`
  const plan = copyPlan(temporary, checkpoint, layout)
  // The factors are the first tensor, right behind the head.
  const head = Buffer.concat([layout.head, Buffer.from(Float32Array.from(factors ?? []).buffer)])
  const bytesTotal = layout.tensors.reduce((sum, { tensor }) => sum + ('source' in tensor ? tensorBytes(tensor) : 0), 0)
  const done = (bytesDone: number) => {
    const tensorsDone = Math.floor((tensors * bytesDone) / bytesTotal)
    onProgress?.({ bytesDone, bytesTotal, tensorsDone, tensorsTotal: tensors })
  }
  const rest = keepAlive(() => [temporary])
  try {
    await runJob((guard) => native.copyTensors(plan, head, onProgress && guard(done)), signal)
    await write(out, () => rename(temporary, out))
    await sync(dirname(out))
  } finally {
    rest()
    await rm(temporary, { force: true })
  }
}

function copyPlan(
  output: string,
  checkpoint: Checkpoint,
  layout: GgufLayout<ExportedTensor | FactorTensor>,
): NativeCopyPlan {
  return {
    output,
    outputBytes: layout.bytes,
    inputs: checkpoint.files.map(({ path, bytes }) => ({ path, bytes })),
    tensors: layout.tensors.flatMap(({ tensor, begin }) => {
      if (!('source' in tensor)) return []
      const { source, dtype, headRows } = tensor
      return {
        name: source.name,
        input: source.file,
        begin: source.begin,
        end: source.end,
        dtype: source.dtype,
        outputDtype: dtype,
        outputBegin: begin,
        headRows,
        rowElements: source.elements / (source.shape[0] ?? 1),
      }
    }),
  }
}
