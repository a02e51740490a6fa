import { readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { hashFile } from '../files/hashFile.js'
import { readFailure } from '../files/readSmallFile.js'
import { readConfig, readJsonObject } from './readConfig.js'
import { indexFileName } from './weightFiles.js'

/** What belongs to a checkpoint besides its weights. README.md does not: it describes the model it came with. */
const patterns = [
  /^(config|generation_config)\.json$/,
  /^tokenizer/,
  /^(vocab|special_tokens_map|added_tokens|tekken)\.json$/,
  /^(vocab|merges)\.txt$/,
  /^(spiece|tiktoken|sentencepiece(\.bpe)?)\.model$/,
  /\.tiktoken$/,
  /^chat_template\.(jinja|json)$/,
  /^(video_)?(pre)?processor_config\.json$/,
  /^(modules|config_sentence_transformers|sentence_\w+_config)\.json$/,
  /^(licen[cs]e|notice|copying|use_policy)/i,
]
/** In subdirectories: further chat templates, and the settings of sentence-transformers' modules behind the model. */
const nested = [/^additional_chat_templates\/[^/]+\.jinja$/, /^\d+_[A-Z]\w*\/[\w.-]+\.(json|txt)$/]
const directories = /^additional_chat_templates$|^\d+_[A-Z]\w*$/
const never = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|onnx|gguf|branchmerge-partial)$|^tf_model|\.index\.json$/

export interface SideFileDifference {
  name: string
  /** 'only in Left', 'only in Right', 'differs' or 'a broken link in Right'; other models have other names. */
  difference: string
}

/** Side files of a model directory by name, relative to it, and what else lies there. All sorted. */
export interface SideFiles {
  files: string[]
  /** Files, and directories with a slash behind, that do not come along; hidden ones and weights' index excepted. */
  others: string[]
  /** Links in the place of files that would come along, to what is not there. */
  broken: string[]
}

/** Whether a file of this name, relative to the model's directory, comes along with a checkpoint's weights. */
export function isSideFile(name: string): boolean {
  return !never.test(name) && (name.includes('/') ? nested : patterns).some((pattern) => pattern.test(name))
}

/** Whether a side file is part of the tokenizer: chat templates are. */
export const isOfTokenizer = (name: string): boolean => isSideFile(name) && !ofModel.test(name)
const ofModel =
  /^((generation_)?config|(video_)?(pre)?processor_config|modules|config_sentence_transformers|sentence_\w+_config)\.json$|^\d+_|^(licen[cs]e|notice|copying|use_policy)/i

/**
 * Names of the files that come along with the weights of a model directory, sorted. Python files are among them when the
 * configuration names custom code: all of the directory's, since such modules import each other. They are only copied.
 *
 * @throws ERR_FILE_READ where one is a link to a file that is not there
 */
export async function listSideFiles(directory: string): Promise<string[]> {
  return (await completeSideFiles(directory)).files
}

/** The same, with what else lies there. @throws ERR_FILE_READ */
export async function completeSideFiles(directory: string): Promise<SideFiles> {
  const found = await findSideFiles(directory)
  const [name] = found.broken
  if (name === undefined) return found
  const path = join(directory, name)
  throw new BranchMergeError(
    'ERR_FILE_READ',
    `Cannot read ${path}: it is a link to ${await readlink(path)}, which is not there. Download it, or remove the link.`,
  )
}

async function findSideFiles(directory: string): Promise<SideFiles> {
  const customCode = await namesCustomCode(directory)
  const isWanted = (name: string) => isSideFile(name) || (customCode && name.endsWith('.py'))
  const found: SideFiles = { files: [], others: [], broken: [] }
  for (const name of await namesIn(directory)) {
    const kind = await kindOf(join(directory, name), isWanted(name))
    if (kind === 'directory' && directories.test(name)) {
      for (const entry of await namesIn(join(directory, name))) {
        const path = `${name}/${entry}`
        sort(path, await kindOf(join(directory, path), isSideFile(path)), isSideFile(path), found)
      }
    } else if (!name.startsWith('.') && name !== indexFileName) sort(name, kind, isWanted(name), found)
  }
  return { files: found.files.sort(), others: found.others.sort(), broken: found.broken.sort() }
}

type Kind = 'file' | 'directory' | 'broken' | 'other'

function sort(name: string, kind: Kind, wanted: boolean, { files, others, broken }: SideFiles): void {
  if (wanted && kind === 'file') files.push(name)
  else if (wanted && kind === 'broken') broken.push(name)
  else others.push(kind === 'directory' ? `${name}/` : name)
}

async function namesIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch((cause) => {
    throw readFailure(directory, cause)
  })
}

/** What a path leads to, through links. Of what does not come along it need not be known. */
async function kindOf(path: string, isWanted: boolean): Promise<Kind> {
  try {
    const found = await stat(path)
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other'
  } catch (error) {
    const cause = error as NodeJS.ErrnoException
    if (cause.code === 'ENOENT' || cause.code === 'ELOOP') return 'broken'
    if (!isWanted) return 'other'
    throw readFailure(path, cause)
  }
}

async function namesCustomCode(directory: string): Promise<boolean> {
  const config = await readConfig(directory)
  const tokenizer = await readJsonObject(join(directory, 'tokenizer_config.json'))
  return config?.namesCustomCode === true || tokenizer?.json.auto_map !== undefined
}

/** Which side files differ between two model directories, by their bytes, sorted by name. */
export async function compareSideFiles(
  left: string,
  right: string,
  labels: readonly [left: string, right: string] = ['Left', 'Right'],
): Promise<SideFileDifference[]> {
  const sides = [await findSideFiles(left), await findSideFiles(right)] as const
  const [inLeft, inRight] = [sides[0].files, sides[1].files]
  const broken = new Map(sides.flatMap((side, i) => side.broken.map((name) => [name, labels[i]] as const)))
  const differences: SideFileDifference[] = []
  for (const name of [...new Set([...inLeft, ...inRight, ...broken.keys()])].sort()) {
    const link = broken.get(name)
    if (link !== undefined) differences.push({ name, difference: `a broken link in ${link}` })
    else if (!inRight.includes(name)) differences.push({ name, difference: `only in ${labels[0]}` })
    else if (!inLeft.includes(name)) differences.push({ name, difference: `only in ${labels[1]}` })
    else if (!(await equalFiles(join(left, name), join(right, name)))) differences.push({ name, difference: 'differs' })
  }
  return differences
}

async function equalFiles(left: string, right: string): Promise<boolean> {
  const [a, b] = [await stat(left), await stat(right)]
  return a.size === b.size && (await hashFile(left)) === (await hashFile(right))
}
