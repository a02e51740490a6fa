import { BadRow } from './badRow.js'
import type { Message } from './conversation.js'

/** Renders the messages at these places; with `asks` as a prompt for the next answer. */
type Render = (places: readonly number[], asks: boolean) => string

/** What one answer is asked with, all of it and what is new since the answer before, and the answer. */
export interface RenderedTurn {
  prompt: string
  source: string
  target: string
}

/** Conversations of so many answers or fewer are rendered in full for each of them. */
const fewAnswers = 16

/**
 * The turns of a long conversation without rendering every beginning of it, which would take time by the square of the turns. A
 * turn is rendered behind the two before it alone. Turns 1 to 16, 17, 33, 65, … and the last are rendered behind everything
 * before them, too: there the prompt must begin with all turns so far, and the turn must be the same.
 *
 * @returns undefined for short conversations, for templates that look further back, and where what came before is written
 *   differently once more turns follow: every beginning must be rendered then
 */
export function nearTurns(render: Render, messages: readonly Message[]): RenderedTurn[] | undefined {
  const answers = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []))
  if (answers.length <= fewAnswers) return undefined
  const turns: RenderedTurn[] = []
  let written = ''
  for (const [k, i] of answers.entries()) {
    const near =
      k < 2 ? undefined : behindTwo(render, messages, answers.slice(k - 2, k + 1), turns[k - 1]?.target as string)
    if (k >= 2 && !near) return undefined
    const isCompared = k < fewAnswers || (k & (k - 1)) === 0 || k === answers.length - 1
    const turn = isCompared ? behindAll(render, i, written) : (near as RenderedTurn)
    if (!turn || (near && (near.source !== turn.source || near.target !== turn.target))) return undefined
    turns.push(turn)
    written += turn.source + turn.target
  }
  return turns
}

/** The answer at place `i` behind everything before it, of which all but the last question is `written`. */
function behindAll(render: Render, i: number, written: string): RenderedTurn | undefined {
  const before = Array.from({ length: i }, (_, place) => place)
  return turnOf(render(before, true), render([...before, i], false), written)
}

function turnOf(prompt: string, answered: string, written: string): RenderedTurn | undefined {
  if (!prompt.startsWith(written) || !answered.startsWith(prompt)) return undefined
  // What stands behind the token that ends an answer, a line break, is not the model's.
  return { prompt, source: prompt.slice(written.length), target: answered.slice(prompt.length).trimEnd() }
}

/** The last of three answers behind the turns of the two others; `target` is what was written of the second. */
function behindTwo(
  render: Render,
  messages: readonly Message[],
  answers: readonly number[],
  target: string,
): RenderedTurn | undefined {
  const [begin, previous, i] = answers as [number, number, number]
  const head = headOf(messages, begin)
  const window = (end: number) => [...head, ...Array.from({ length: end - begin }, (_, at) => begin + at)]
  try {
    return turnOf(render(window(i), true), render(window(i + 1), false), render(window(previous), true) + target)
  } catch (error) {
    // A template may refuse a window and not the whole.
    if (error instanceof BadRow) return undefined
    throw error
  }
}

/** The system text, and the last question before a message: templates want one to begin with. */
function headOf(messages: readonly Message[], begin: number): number[] {
  const system = messages[0]?.role === 'system' ? [0] : []
  let question = begin - 1
  while (question > 0 && messages[question]?.role !== 'user') question--
  return question < system.length ? system : [...system, question]
}
