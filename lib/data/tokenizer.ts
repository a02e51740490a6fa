import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { parseTokenizerJson, type TokenizerFiles } from '../checkpoint/tokenizerFiles.js'
import { BranchMergeError } from '../errors.js'
import { isMapping } from '../validate.js'

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
    const json = parseTokenizerJson(files.tokenizer, join(files.directory, 'tokenizer.json'))
    const config = parseTokenizerJson(files.config, join(files.directory, 'tokenizer_config.json'))
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
