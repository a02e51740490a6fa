import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { describe, expect, test } from 'vitest'
import { exportGguf } from '../../lib/index.js'
import { readWithLlama } from '../llama/llama.js'
import { modelWith, published } from '../support/publishedTokenizer.js'
import { readGgufHead } from './readGguf.js'

const texts = [
  'The quick brown fox jumps over the lazy dog.',
  "It's what they'll've said: I'M sure you'd DON'T. 'tis",
  'Größe, naïve, Straße, garçon, Łódź, Ελλάδα, Привет, мир!',
  '你好，世界。今天天气很好！日本語のテキスト、カタカナ。한국어 문장입니다.',
  'مرحبا بالعالم، نص عربي. שלום עולם. नमस्ते दुनिया। สวัสดีชาวโลก',
  '🙂🚀 👩‍👩‍👧‍👦 🇩🇪 ✅ — “quotes” … ½ ² № ™',
  '1 12 123 1234 12345 1234567890 3.14159 1,000,000 0x1F600 1e-7 ١٢٣ Ⅷ',
  'def f(x):\n\treturn x ** 2  # square\n\n\nfor (int i = 0; i < n; ++i) {\n    a[i] += b[i];\n}\r\n',
  '   leading, trailing   \n \n\n  \t mixed \t\t white   space \u00a0 \u3000 ',
  '$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$ <think>\n\n</think>',
  '<html lang="en"><body class=\'a\'>&nbsp;</body></html> {"key": [1, null, true]}',
  'a\u0001b\u007fc \ufffd end',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ________________________________ ================',
]

describe('published tokenizers in llama.cpp', () => {
  test.for([
    ['qwen3', 151936, 151669, '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n', false],
    ['llama3_1', 128256, 128256, '<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>', true],
    ['deepseek_v3', 129280, 128815, '<｜User｜>Hi<｜Assistant｜>', true],
  ] as const)('%s: token ids, special tokens and template', async ([name, rows, size, chat, addsFirst]) => {
    const files = published(name)
    const directory = modelWith(rows, files)
    const out = join(directory, 'model.gguf')
    await exportGguf(directory, { out })
    const { metadata } = readGgufHead(readFileSync(out))
    const tokens = metadata.get('tokenizer.ggml.tokens') as string[]
    const types = metadata.get('tokenizer.ggml.token_type') as number[]
    expect([tokens.length, types.length, types.filter((type) => type !== 5).length]).toEqual([rows, rows, size])
    expect(metadata.get('tokenizer.ggml.add_bos_token')).toBe(addsFirst)
    const settings = JSON.parse(files.config)
    const tokenizer = new Tokenizer(JSON.parse(files.tokenizer), settings)
    await readWithLlama(out, [0], ({ tokenize, chatTemplate }) => {
      for (const text of [...texts, texts.join('\n'), chat]) {
        expect([text, tokenize(text)]).toEqual([text, [...tokenizer.encode(text, { add_special_tokens: false }).ids]])
      }
      expect(chatTemplate).toBe(settings.chat_template)
    })
  })
})

describe('refuses what llama.cpp would read as other tokens', () => {
  const { model, ...rest } = JSON.parse(published('qwen3').tokenizer)
  // The steps as published, over a vocabulary of one token.
  const steps = JSON.stringify({ ...rest, added_tokens: [], model: { ...model, vocab: { a: 0 }, merges: [] } })
  const bytes = '{"type":"ByteLevel","add_prefix_space":false'

  test.for<[string, string, string, RegExp]>([
    ['a normalizer, as Gemma has', '{"type":"NFC"}', '{"type":"Replace","content":"▁"}', /normalizer.*"Replace"/],
    [
      'lower case',
      '{"type":"NFC"}',
      '{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}',
      /normalizer.*"Lowercase"/,
    ],
    ['pieces joined to their spaces, as Gemma has', '"Isolated"', '"MergedWithPrevious"', /MergedWithPrevious/],
    ['another step', `,${bytes}`, `,{"type":"Digits","individual_digits":true},${bytes}`, /pre_tokenizer.*"Digits"/],
    ['a space before the text', `,${bytes}`, ',{"type":"ByteLevel","add_prefix_space":true', /pre_tokenizer/],
    ['whole tokens before merges', '"ignore_merges":false', '"ignore_merges":true', /ignore_merges/],
    ['bytes as a last resort', '"byte_fallback":false', '"byte_fallback":true', /byte_fallback/],
  ])('%s', async ([, from, to, message]) => {
    expect(steps).toContain(from)
    const tokenizer = steps.replace(from, to)
    const directory = modelWith(100, { tokenizer, config: '{}' })
    const out = join(directory, 'x.gguf')
    const failure = { code: 'ERR_TOKENIZER', message: expect.stringMatching(message) }
    await expect(exportGguf(directory, { out })).rejects.toMatchObject(failure)
    writeFileSync(join(directory, 'tokenizer.json'), steps)
    await exportGguf(directory, { out })
  })
})
