import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hashFile } from './hashFile.js'
import { readConfig, readJsonObject } from './readConfig.js'
import { readFailure } from './readSmallFile.js'

/** What belongs to a checkpoint besides its weights. README.md does not: it describes the model it came with. */
const patterns = [
  /^(config|generation_config)\.json$/,
  /^tokenizer/,
  /^(vocab|special_tokens_map|added_tokens|tekken)\.json$/,
  /^(vocab|merges)\.txt$/,
  /^(spiece|sentencepiece(\.bpe)?)\.model$/,
  /\.tiktoken$/,
  /^chat_template\.(jinja|json)$/,
  /^(video_)?(pre)?processor_config\.json$/,
  /^(licen[cs]e|notice|copying|use_policy)/i,
]
const never = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|onnx|gguf|branchmerge-partial)$|^tf_model|\.index\.json$/

export interface SideFileDifference {
  name: string
  /** 'only in Left', 'only in Right' or 'differs'; other models have other names. */
  difference: string
}

/** Whether a file of this name comes along with a checkpoint's weights. */
export function isSideFile(name: string): boolean {
  return !never.test(name) && patterns.some((pattern) => pattern.test(name))
}

/**
 * Names of the files that come along with the weights of a model directory, sorted. Python files are among them when the
 * configuration names custom code: all of the directory's, since such modules import each other. They are only copied.
 */
export async function listSideFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((cause) => {
    throw readFailure(directory, cause)
  })
  const customCode = await namesCustomCode(directory)
  const wanted = names.filter((name) => isSideFile(name) || (customCode && name.endsWith('.py'))).sort()
  const regular: string[] = []
  for (const name of wanted) if (await isRegularFile(join(directory, name))) regular.push(name)
  return regular
}

async function namesCustomCode(directory: string): Promise<boolean> {
  const config = await readConfig(directory)
  const tokenizer = await readJsonObject(join(directory, 'tokenizer_config.json'))
  return config?.namesCustomCode === true || tokenizer?.json.auto_map !== undefined
}

async function isRegularFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}

/** Which side files differ between two model directories, by their bytes, sorted by name. */
export async function compareSideFiles(
  left: string,
  right: string,
  labels: readonly [left: string, right: string] = ['Left', 'Right'],
): Promise<SideFileDifference[]> {
  const [inLeft, inRight] = [await listSideFiles(left), await listSideFiles(right)]
  const differences: SideFileDifference[] = []
  for (const name of [...new Set([...inLeft, ...inRight])].sort()) {
    if (!inRight.includes(name)) differences.push({ name, difference: `only in ${labels[0]}` })
    else if (!inLeft.includes(name)) differences.push({ name, difference: `only in ${labels[1]}` })
    else if (!(await equalFiles(join(left, name), join(right, name)))) differences.push({ name, difference: 'differs' })
  }
  return differences
}

async function equalFiles(left: string, right: string): Promise<boolean> {
  const [a, b] = [await stat(left), await stat(right)]
  return a.size === b.size && (await hashFile(left)) === (await hashFile(right))
}
