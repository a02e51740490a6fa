/**
 * A small byte-level BPE tokenizer in the layout of a Qwen2 checkpoint: trained here, on a text that never changes.
 */

const SPECIAL_TOKENS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']

/** Byte-level BPE spells every byte as one printable character: itself where it prints, U+0100 and up elsewhere. */
function byteCharacters() {
  const prints = (/** @type {number} */ byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(prints(byte) ? byte : next++))
}

/**
 * The most frequent neighbours over all words; of equals, the first in code-unit order.
 * @param {{ symbols: string[], count: number }[]} words
 */
function mostFrequentPair(words) {
  /** @type {Map<string, number>} */
  const counts = new Map()
  for (const { symbols, count } of words) {
    for (let i = 0; i + 1 < symbols.length; i++) {
      const pair = `${symbols[i]} ${symbols[i + 1]}`
      counts.set(pair, (counts.get(pair) ?? 0) + count)
    }
  }
  const ranked = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  return ranked[0]?.[0]
}

/**
 * @param {string[]} symbols
 * @param {string} pair
 */
function mergePair(symbols, pair) {
  /** @type {string[]} */
  const merged = []
  for (const symbol of symbols) {
    if (merged.length > 0 && `${merged.at(-1)} ${symbol}` === pair) merged.push(`${merged.pop()}${symbol}`)
    else merged.push(symbol)
  }
  return merged
}

/**
 * @param {string} text
 * @param {number} count of merges to learn
 * @param {string[]} characters of the 256 bytes
 */
function learnMerges(text, count, characters) {
  /** @type {Map<string, number>} */
  const frequency = new Map()
  for (const [word] of text.matchAll(/ ?[a-zA-Z]+/g)) frequency.set(word, (frequency.get(word) ?? 0) + 1)
  let words = [...frequency].map(([word, occurrences]) => ({
    symbols: [...Buffer.from(word)].map((byte) => characters[byte] ?? ''),
    count: occurrences,
  }))
  /** @type {string[]} */
  const merges = []
  while (merges.length < count) {
    const pair = mostFrequentPair(words)
    if (pair === undefined) throw new Error(`Expected a text with ${count} merges but it has ${merges.length}`)
    merges.push(pair)
    words = words.map((word) => ({ ...word, symbols: mergePair(word.symbols, pair) }))
  }
  return merges
}

const CHAT_TEMPLATE = [
  '{%- for message in messages %}',
  "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}",
  '{%- endfor %}',
  '{%- if add_generation_prompt %}',
  "{{- '<|im_start|>assistant\\n' }}",
  '{%- endif %}',
  '',
].join('\n')

/**
 * tokenizer.json, tokenizer_config.json and chat_template.jinja, and the ids of the tokens that begin and end a text.
 * @param {string} text to learn from
 * @param {number} mergeCount
 */
export function makeTokenizer(text, mergeCount) {
  const characters = byteCharacters()
  const merges = learnMerges(text, mergeCount, characters)
  const spellings = [...[...characters].sort(), ...merges.map((pair) => pair.replace(' ', ''))]
  // Two different merges can spell the same token; it has one id.
  const vocabulary = [...new Set(spellings)]
  const special = SPECIAL_TOKENS.map((content, index) => ({ content, id: vocabulary.length + index }))
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }
  return {
    tokens: { begin: vocabulary.length, end: vocabulary.length + 2 },
    files: {
      'tokenizer.json': {
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: special.map(({ content, id }) => ({ id, content, ...flags })),
        normalizer: { type: 'NFC' },
        pre_tokenizer: byteLevel,
        post_processor: byteLevel,
        decoder: byteLevel,
        model: {
          type: 'BPE',
          dropout: null,
          unk_token: null,
          continuing_subword_prefix: '',
          end_of_word_suffix: '',
          fuse_unk: false,
          byte_fallback: false,
          vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
          merges: merges.map((pair) => pair.split(' ')),
        },
      },
      'tokenizer_config.json': {
        add_bos_token: false,
        add_prefix_space: false,
        added_tokens_decoder: Object.fromEntries(special.map(({ content, id }) => [id, { content, ...flags }])),
        additional_special_tokens: SPECIAL_TOKENS.slice(1),
        bos_token: null,
        clean_up_tokenization_spaces: false,
        eos_token: '<|im_end|>',
        errors: 'replace',
        model_max_length: 32768,
        pad_token: '<|endoftext|>',
        split_special_tokens: false,
        tokenizer_class: 'Qwen2Tokenizer',
        unk_token: null,
      },
      'chat_template.jinja': CHAT_TEMPLATE,
    },
  }
}
