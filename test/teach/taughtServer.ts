import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import {
  beginEvents,
  chunkOf,
  type Received,
  type Script,
  ScriptedServer,
  usageChunk,
  withProbe,
} from '../support/scriptedServer.js'

/** Which of a few kinds of answer a question gets with a seed: the same every time. */
export type Kind = 'right' | 'wrong' | 'truncated' | 'none'

export const numbersOf = ({ body }: Received): [number, number] => {
  const [, left, right] = /What is (\d+) \+ (\d+)\?/.exec(body.messages.at(-1).content) ?? []
  return [Number(left), Number(right)]
}

export function kindOf(received: Received): Kind {
  const [left] = numbersOf(received)
  const byte = createHash('sha256').update(`${left} ${received.body.seed}`).digest()[0] as number
  if (byte < 150) return 'right'
  if (byte < 200) return 'wrong'
  return byte < 230 ? 'truncated' : 'none'
}

const said = (received: Received): [reasoning: string, text: string, finish: string] => {
  const [left, right] = numbersOf(received)
  const kind = kindOf(received)
  const reasoning = `I add ${left} and ${right}.`
  if (kind === 'right') return [reasoning, `The sum is \\boxed{${left + right}}.`, 'stop']
  if (kind === 'wrong') return [reasoning, `The sum is \\boxed{${left + right + 1}}.`, 'stop']
  return kind === 'truncated' ? [`${reasoning} Then`, '', 'length'] : [reasoning, 'I do not know.', 'stop']
}

/** Adds, thinks before it does, and is often wrong: what it says depends on the question and the seed alone. */
export const adds: Script = (received, response) => {
  const [reasoning, text, finish] = said(received)
  beginEvents(response)
  response.write(chunkOf({ role: 'assistant', reasoning_content: reasoning }))
  if (text !== '') response.write(chunkOf({ content: text }))
  response.end(`${chunkOf({}, finish)}${usageChunk(9, 20)}data: [DONE]\n\n`)
}

export async function serverOf(script: Script = adds): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(withProbe(script))
  onTestFinished(() => server.stop())
  return server
}

/** Requests for answers, without the probe. */
export const askedOf = (server: ScriptedServer): Received[] => server.asked.filter(({ body }) => body.max_tokens !== 8)

export const additions = (count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `q${i}`,
    question: `What is ${i} + 5?`,
    answer: i + 5,
    grader: 'integer',
  }))

export const writeRows = (path: string, rows: readonly object[]): void =>
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))

// biome-ignore lint/suspicious/noExplicitAny: rows of any file
export const rowsOf = (path: string): any[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
