import { join } from 'node:path'
import type { ConfigJson } from '../../checkpoint/decoderShape.js'
import { parseTokenizerJson, readTokenizerFiles } from '../../checkpoint/tokenizerFiles.js'
import { BranchMergeError } from '../../errors.js'
import { isMapping } from '../../validate.js'
import type { GgufMetadata } from './ggufFile.js'

/** llama.cpp's kinds of tokens. */
const tokenTypes = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const afterDigits = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

/**
 * Patterns that split text before the merges, by llama.cpp's name for them. It has each of them as a program of its own, so
 * that no other pattern can be had. The name decides as well whether a piece that is a token is one without any merge.
 */
const preTokenizers: { name: string; ignoresMerges: boolean; patterns: readonly string[] }[] = [
  {
    name: 'qwen2',
    ignoresMerges: false,
    patterns: [`${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${afterDigits}`],
  },
  ...([true, false] as const).map((ignoresMerges) => ({
    name: ignoresMerges ? 'llama-bpe' : 'smaug-bpe',
    ignoresMerges,
    patterns: [`${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${afterDigits}`],
  })),
  {
    name: 'deepseek-v3',
    ignoresMerges: false,
    patterns: [
      '\\p{N}{1,3}',
      '[一-龥\u3040-ゟ゠-ヿ]+',
      '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
    ],
  },
]

/**
 * The metadata of a byte-level BPE tokenizer with its chat template.
 *
 * @param vocabularySize - rows of the embedding matrix; rows beyond the tokenizer's become unused tokens
 * @throws ERR_TOKENIZER for another kind of tokenizer, or one that has more tokens than the matrix has rows
 */
export async function tokenizerMetadata(
  directory: string,
  config: ConfigJson,
  vocabularySize: number,
): Promise<GgufMetadata> {
  const files = await readTokenizerFiles(directory)
  const tokenizer = parseTokenizerJson(files.tokenizer, join(directory, 'tokenizer.json'))
  const settings = parseTokenizerJson(files.config, join(directory, 'tokenizer_config.json'))
  const splitting = preTokenizer(tokenizer, directory)
  const { tokens, types } = vocabulary(tokenizer, vocabularySize, directory)
  const metadata: GgufMetadata = new Map([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: splitting }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'int32s', value: types }],
    ['tokenizer.ggml.merges', { type: 'strings', value: merges(tokenizer, directory) }],
  ])
  for (const [key, name] of [
    ['bos', 'bos'],
    ['eos', 'eos'],
    ['padding', 'pad'],
  ] as const) {
    const id = namedToken(settings, config, name, tokens)
    if (id !== undefined) metadata.set(`tokenizer.ggml.${key}_token_id`, { type: 'uint32', value: id })
  }
  for (const name of ['bos', 'eos'] as const) {
    metadata.set(`tokenizer.ggml.add_${name}_token`, { type: 'bool', value: addsToken(tokenizer, settings, name) })
  }
  const template = files.chatTemplate
  if (template !== undefined) metadata.set('tokenizer.chat_template', { type: 'string', value: template })
  const named = new Map([...files.namedTemplates].map(([name, text]) => [name.replaceAll(/[^A-Za-z0-9]/g, '_'), text]))
  for (const [name, text] of named) metadata.set(`tokenizer.chat_template.${name}`, { type: 'string', value: text })
  if (named.size > 0) metadata.set('tokenizer.chat_templates', { type: 'strings', value: [...named.keys()] })
  return metadata
}

function model(tokenizer: Record<string, unknown>, directory: string): Record<string, unknown> {
  const { model: bpe } = tokenizer
  if (isMapping(bpe) && bpe.type === 'BPE' && isMapping(bpe.vocab)) return bpe
  const kind = isMapping(bpe) ? JSON.stringify(bpe.type) : 'none'
  throw refusal(directory, `a byte-level BPE model, but it is ${kind}`)
}

function vocabulary(
  tokenizer: Record<string, unknown>,
  size: number,
  directory: string,
): { tokens: string[]; types: number[] } {
  const entries = Object.entries(model(tokenizer, directory).vocab as Record<string, number>)
  const added = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens.filter(isMapping) : []
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`)
  const types: number[] = tokens.map(() => tokenTypes.unused)
  const put = (id: number, token: string, type: number): void => {
    if (!(Number.isInteger(id) && id >= 0 && id < size)) {
      throw refusal(
        directory,
        `ids below ${size}, the rows of the embedding matrix, but ${JSON.stringify(token)} has ${id}`,
      )
    }
    tokens[id] = token
    types[id] = type
  }
  for (const [token, id] of entries) put(id, token, tokenTypes.normal)
  for (const { id, content, special } of added) {
    put(Number(id), String(content), special === true ? tokenTypes.control : tokenTypes.userDefined)
  }
  return { tokens, types }
}

/** Pairs, or texts with a space between the two. */
function merges(tokenizer: Record<string, unknown>, directory: string): string[] {
  const list = model(tokenizer, directory).merges
  if (!Array.isArray(list)) throw refusal(directory, 'a list of merges, but there is none')
  return list.map((merge) => (Array.isArray(merge) ? merge.join(' ') : String(merge)))
}

function preTokenizer(tokenizer: Record<string, unknown>, directory: string): string {
  refuseOtherSteps(tokenizer, directory)
  const patterns = splitPatterns(tokenizer.pre_tokenizer)
  const ignoresMerges = model(tokenizer, directory).ignore_merges === true
  const same = preTokenizers.filter((each) => JSON.stringify(each.patterns) === JSON.stringify(patterns))
  const found = same.find((each) => each.ignoresMerges === ignoresMerges)
  if (found) return found.name
  if (same.length > 0)
    throw refusal(directory, `ignore_merges ${!ignoresMerges}, as llama.cpp has it for its split pattern`)
  throw refusal(
    directory,
    'pre_tokenizer as llama.cpp has it: the split pattern of Qwen 2 and 3, Llama 3 or DeepSeek-V3, then bytes ' +
      `(ByteLevel). It has ${excerpt(tokenizer.pre_tokenizer)}`,
  )
}

/** The patterns of splits that are followed by the bytes alone; undefined where there is another step, or another splitting. */
function splitPatterns(preTokenizer: unknown): unknown[] | undefined {
  const steps = isMapping(preTokenizer) && Array.isArray(preTokenizer.pretokenizers) ? preTokenizer.pretokenizers : []
  const [bytes, ...splits] = steps.filter(isMapping).toReversed()
  const isPlain = bytes?.type === 'ByteLevel' && bytes.add_prefix_space !== true && bytes.use_regex === false
  const areSplits = splits.every(
    ({ type, behavior, invert }) => type === 'Split' && behavior === 'Isolated' && invert !== true,
  )
  if (!isPlain || !areSplits) return undefined
  return splits.toReversed().map(({ pattern }) => (isMapping(pattern) ? pattern.Regex : undefined))
}

/** What a tokenizer may do beside splitting and merging, and llama.cpp does not. */
function refuseOtherSteps(tokenizer: Record<string, unknown>, directory: string): void {
  const { normalizer } = tokenizer
  const steps = isMapping(normalizer) && Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [normalizer]
  // llama.cpp's own conversion passes over NFC too; most text is in that form.
  const other = steps.find((step) => isMapping(step) && step.type !== 'NFC')
  if (other)
    throw refusal(directory, `no normalizer except NFC, because llama.cpp has no other. It has ${excerpt(other)}`)
  const bpe = model(tokenizer, directory)
  for (const name of ['continuing_subword_prefix', 'end_of_word_suffix', 'dropout', 'byte_fallback']) {
    if (bpe[name])
      throw refusal(directory, `no ${name}, which llama.cpp does not have. It is ${JSON.stringify(bpe[name])}`)
  }
}

function excerpt(value: unknown): string {
  const text = JSON.stringify(value) ?? 'none'
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** By its text in tokenizer_config.json, or else by its id in config.json. */
function namedToken(
  settings: Record<string, unknown>,
  config: ConfigJson,
  name: string,
  tokens: readonly string[],
): number | undefined {
  const token = settings[`${name}_token`]
  const text = isMapping(token) ? token.content : token
  if (typeof text === 'string') {
    const id = tokens.indexOf(text)
    if (id >= 0) return id
  }
  const [id] = [config[`${name}_token_id`]].flat()
  return typeof id === 'number' && id >= 0 && id < tokens.length ? id : undefined
}

/** add_bos_token and add_eos_token of tokenizer_config.json, or whether the tokenizer puts a special token at that end. */
function addsToken(
  tokenizer: Record<string, unknown>,
  settings: Record<string, unknown>,
  name: 'bos' | 'eos',
): boolean {
  const said = settings[`add_${name}_token`]
  if (typeof said === 'boolean') return said
  const { post_processor: processor } = tokenizer
  const steps = isMapping(processor) && Array.isArray(processor.processors) ? processor.processors : [processor]
  return steps.some((step) => {
    if (!isMapping(step) || step.type !== 'TemplateProcessing' || !Array.isArray(step.single)) return false
    const token = step.single.at(name === 'bos' ? 0 : -1)
    return isMapping(token) && 'SpecialToken' in token
  })
}

function refusal(directory: string, expected: string): BranchMergeError {
  return new BranchMergeError('ERR_TOKENIZER', `Expected a tokenizer.json in ${directory} with ${expected}`)
}
