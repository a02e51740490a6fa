import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { readSmallFile } from '../../checkpoint/readSmallFile.js'
import { BranchMergeError } from '../../errors.js'
import { isMapping } from '../../recipe/schemaProblems.js'

/** Vocabularies of 256k tokens have 33 MB. */
const maxBytes = 256 * 2 ** 20

/** The texts that a tokenizer is made of. */
export interface TokenizerFiles {
  /** As messages name it. */
  directory: string
  tokenizer: string
  config: string
  /** chat_template.jinja, or chat_template of tokenizer_config.json. */
  chatTemplate: string | undefined
}

/** @throws ERR_FILE_READ, ERR_TOKENIZER */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const tokenizer = await readText(join(directory, 'tokenizer.json'))
  if (tokenizer === undefined) {
    throw new BranchMergeError(
      'ERR_TOKENIZER',
      `Expected tokenizer.json in ${directory} but there is none. Pass a directory that has one as tokenizer.`,
    )
  }
  const config = (await readText(join(directory, 'tokenizer_config.json'))) ?? '{}'
  const template = await readText(join(directory, 'chat_template.jinja'))
  const own = templateOf(parseObject(config, join(directory, 'tokenizer_config.json')).chat_template)
  return { directory, tokenizer, config, chatTemplate: template ?? own }
}

async function readText(path: string): Promise<string | undefined> {
  const bytes = await readSmallFile(path, maxBytes, 'ERR_TOKENIZER')
  if (!bytes) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new BranchMergeError('ERR_TOKENIZER', `Expected UTF-8 text in ${path}`, { cause })
  }
}

function parseObject(text: string, path: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new BranchMergeError('ERR_TOKENIZER', `Expected JSON in ${path}: ${(cause as Error).message}`, { cause })
  }
  if (isMapping(value)) return value
  throw new BranchMergeError('ERR_TOKENIZER', `Expected a JSON object in ${path}`)
}

/** A text, or a list of named ones of which `default` counts. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const named: unknown[] = Array.isArray(value) ? value : []
  const entry = named.find((candidate) => isMapping(candidate) && candidate.name === 'default')
  return isMapping(entry) && typeof entry.template === 'string' ? entry.template : undefined
}

/** Texts that are one token wherever they stand. */
export interface AddedToken {
  id: number
  content: string
  special: boolean
}

/** Texts into ids and back, with nothing added or cleaned up. */
export class TextTokenizer {
  readonly addedTokens: readonly AddedToken[]
  /** bos_token, eos_token and their like by name, where the configuration has them. */
  readonly namedTokens: Readonly<Record<string, string>>
  /** Number of ids, counted from 0 to the highest. */
  readonly size: number
  private readonly tokenizer: Tokenizer

  /** @throws ERR_TOKENIZER */
  constructor(private readonly files: TokenizerFiles) {
    const json = parseObject(files.tokenizer, join(files.directory, 'tokenizer.json'))
    const config = parseObject(files.config, join(files.directory, 'tokenizer_config.json'))
    checkKind(json.model, files.directory)
    const added = Array.isArray(json.added_tokens) ? json.added_tokens : []
    this.tokenizer = this.guard(() => new Tokenizer({ ...json, added_tokens: added }, config))
    this.addedTokens = added.map(({ id, content, special }) => ({ id, content, special: special === true }))
    this.namedTokens = namedTokens(config)
    this.size = 1 + this.guard(() => [...this.tokenizer.get_vocab(true).values()].reduce((a, b) => Math.max(a, b), -1))
  }

  encode(text: string): number[] {
    return text === '' ? [] : this.tokenizer.encode(text, { add_special_tokens: false }).ids
  }

  decode(ids: readonly number[]): string {
    if (ids.length === 0) return ''
    return this.tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false })
  }

  /** The id of a text that is one token, or undefined. */
  idOf(text: string): number | undefined {
    return this.addedTokens.find(({ content }) => content === text)?.id ?? this.tokenizer.token_to_id(text)
  }

  /** The token of an id as the vocabulary spells it, or undefined. */
  tokenOf(id: number): string | undefined {
    return this.tokenizer.id_to_token(id)
  }

  private guard<T>(step: () => T): T {
    try {
      return step()
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      throw new BranchMergeError(
        'ERR_TOKENIZER',
        `Cannot use the tokenizer of ${this.files.directory}: ${message}. Expected a tokenizer.json as Hugging Face writes it.`,
        { cause },
      )
    }
  }
}

/** Qwen and Llama 3 have BPE, and its ids were compared with another library's; an unknown kind would be guessed at. */
function checkKind(model: unknown, directory: string): void {
  const type = isMapping(model) ? model.type : undefined
  if (type === 'BPE') return
  throw new BranchMergeError(
    'ERR_TOKENIZER',
    `Expected a model of type BPE in tokenizer.json of ${directory} but received ${JSON.stringify(type) ?? 'none'}`,
  )
}

function namedTokens(config: Record<string, unknown>): Record<string, string> {
  const found = Object.entries(config).flatMap(([name, value]) => {
    if (!/^(bos|eos|unk|sep|pad|cls|mask)_token$/.test(name)) return []
    const content = isMapping(value) ? value.content : value
    return typeof content === 'string' ? [[name, content] as const] : []
  })
  return Object.fromEntries(found)
}
