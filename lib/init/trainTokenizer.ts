import { createReadStream } from 'node:fs'
import { BranchMergeError } from '../errors.js'
import { readFailure } from '../files/readSmallFile.js'
import { byteCharacters, firstBytes, splitPattern, splitPieces } from './byteLevel.js'
import { learnMerges } from './learnMerges.js'

/** The last three ids of every vocabulary that is trained here. */
export const specialTokens = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'] as const
/** 256 bytes and the special tokens. */
export const leastVocabulary = 256 + specialTokens.length
export const mostVocabulary = 2 ** 18

/** ChatML without a system message that nobody wrote. */
const chatTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/** A tokenizer as files of a checkpoint, and the ids that its configuration names. */
export interface TrainedTokenizer {
  files: { 'tokenizer.json': string; 'tokenizer_config.json': string }
  vocabularySize: number
  padTokenId: number
  eosTokenId: number
}

/**
 * Trains a byte-level BPE tokenizer of Qwen2's kind on UTF-8 text files. The result depends on the text alone; any text can
 * be encoded with it.
 *
 * @param vocabularySize - ids, the bytes and the special tokens among them: {@link leastVocabulary} to {@link mostVocabulary}
 * @throws ERR_FILE_READ; ERR_INVALID_ARGUMENT when the text has too few pairs that occur twice
 */
export async function trainTokenizer(
  paths: readonly string[],
  vocabularySize: number,
  signal?: AbortSignal,
): Promise<TrainedTokenizer> {
  const pieces = new Map<string, number>()
  for (const path of paths) await countPieces(path, pieces, signal)
  const wanted = vocabularySize - leastVocabulary
  const merges = learnMerges(pieces, wanted)
  if (merges.length < wanted) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      `Expected at most ${leastVocabulary + merges.length} for vocabularySize (--vocab-size), which is all that the text ` +
        `gives, but received ${vocabularySize}: add text, or ask for fewer`,
    )
  }
  const tokens = firstBytes.map((byte) => byteCharacters[byte] as string)
  for (const [left, right] of merges) tokens.push((tokens[left] as string) + (tokens[right] as string))
  const mergeTexts = merges.map(([left, right]) => `${tokens[left]} ${tokens[right]}`)
  const [padTokenId, , eosTokenId] = specialTokens.map((_, i) => tokens.length + i) as [number, number, number]
  return {
    files: {
      'tokenizer.json': tokenizerText(tokens, mergeTexts),
      'tokenizer_config.json': tokenizerConfigText(tokens.length),
    },
    vocabularySize,
    padTokenId,
    eosTokenId,
  }
}

/** Counts the pieces of a file, which is read a part at a time. */
async function countPieces(path: string, pieces: Map<string, number>, signal: AbortSignal | undefined): Promise<void> {
  const count = (text: string) => {
    for (const piece of splitPieces(text.normalize('NFC'))) pieces.set(piece, (pieces.get(piece) ?? 0) + 1)
  }
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 20 })) {
      signal?.throwIfAborted()
      rest += decoder.decode(bytes as Buffer, { stream: true })
      const end = safeEnd(rest)
      count(rest.slice(0, end))
      rest = rest.slice(end)
    }
    count(rest + decoder.decode())
  } catch (cause) {
    if (cause instanceof TypeError) {
      throw new BranchMergeError('ERR_FILE_READ', `Expected UTF-8 text in ${path}`, { cause })
    }
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause
    throw readFailure(path, cause as NodeJS.ErrnoException)
  }
}

/** Where a text may be cut without changing its pieces: at the last beginning of a line that no white space begins. */
function safeEnd(text: string): number {
  for (let end = text.lastIndexOf('\n') + 1; end > 0; end = text.lastIndexOf('\n', end - 2) + 1) {
    if (end < text.length && !/\p{White_Space}|\p{M}/u.test(text[end] as string)) return end
    if (end === 1) break
  }
  return 0
}

function addedToken(id: number, content: string) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
}

function tokenizerText(tokens: readonly string[], merges: readonly string[]): string {
  const vocabulary = Object.fromEntries(tokens.map((token, id) => [token, id]))
  return `${JSON.stringify(
    {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: specialTokens.map((content, i) => addedToken(tokens.length + i, content)),
      normalizer: { type: 'NFC' },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: splitPattern }, behavior: 'Isolated', invert: false },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
        ],
      },
      post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: vocabulary,
        merges,
      },
    },
    null,
    2,
  )}\n`
}

function tokenizerConfigText(firstSpecial: number): string {
  const decoder = specialTokens.map((content, i) => {
    const { id, ...rest } = addedToken(firstSpecial + i, content)
    return [String(id), rest]
  })
  return `${JSON.stringify(
    {
      add_bos_token: false,
      add_prefix_space: false,
      added_tokens_decoder: Object.fromEntries(decoder),
      bos_token: null,
      chat_template: chatTemplate,
      clean_up_tokenization_spaces: false,
      eos_token: '<|im_end|>',
      errors: 'replace',
      model_max_length: 4096,
      pad_token: '<|endoftext|>',
      split_special_tokens: false,
      tokenizer_class: 'Qwen2Tokenizer',
      unk_token: null,
    },
    null,
    2,
  )}\n`
}
