import type { Turn } from './chatTemplate.js'
import type { Conversation, Message } from './conversation.js'
import type { ResolvedData } from './options.js'

/**
 * What became of an answer's reasoning: it has some; an empty one was added; its opening tag was; it has none; it begins and
 * does not end, because the row has it so or truncation took its end.
 */
export type Thinking = 'given' | 'added' | 'opened' | 'none' | 'unclosed'

const emptyReasoning = '<think>\n\n</think>\n\n'
const opening = '<think>\n'

/** Puts the opening tag of a turn's reasoning where it is wanted, and an empty reasoning where there is none. */
export function placeReasoning(
  turn: Turn,
  { think, missingThink }: Pick<ResolvedData, 'think' | 'missingThink'>,
): { turn: Turn; thinking: Thinking } {
  const { source, target } = turn
  const [opens, closes] = [target.indexOf('<think>'), target.indexOf('</think>')]
  const isOpened = /<think>\s*$/.test(source) || (opens >= 0 && (closes < 0 || opens < closes))
  if (!isOpened && closes < 0) {
    if (missingThink === 'leave') return { turn, thinking: 'none' }
    const placed =
      missingThink === 'target'
        ? { ...turn, target: emptyReasoning + target }
        : { ...turn, source: source + emptyReasoning }
    return { turn: placed, thinking: 'added' }
  }
  if (!isOpened) {
    const placed = think === 'target' ? { ...turn, target: opening + target } : { ...turn, source: source + opening }
    return { turn: placed, thinking: 'opened' }
  }
  if (turn.emptyReasoning && missingThink === 'prompt') {
    const [block = ''] = /^\s*<think>\s*<\/think>\s*/.exec(target) ?? []
    return { turn: { ...turn, source: source + block, target: target.slice(block.length) }, thinking: 'added' }
  }
  if (turn.emptyReasoning) return { turn: openedIn(turn, think), thinking: 'added' }
  return { turn: openedIn(turn, think), thinking: closes < 0 ? 'unclosed' : 'given' }
}

/** The opening tag at the beginning of the answer, or at the end of its prompt. */
function openedIn(turn: Turn, think: 'target' | 'prompt'): Turn {
  const atStart = think === 'prompt' ? /^\s*<think>\n?/.exec(turn.target) : undefined
  if (!atStart) return turn
  return { ...turn, source: turn.source + opening, target: turn.target.slice(atStart[0].length) }
}

/** Whether an answer's reasoning begins, in its prompt or in itself, and has no end. */
export const isUnclosed = (source: string, target: string): boolean =>
  (/<think>\s*$/.test(source) || target.includes('<think>')) && !target.includes('</think>')

/** The conversation without the reasoning of all answers but the last, as models are served. */
export function withoutEarlierReasoning({ messages, tools }: Conversation): Conversation {
  const last = messages.length - 1
  const strip = (message: Message, i: number): Message =>
    message.role === 'assistant' && i < last
      ? { ...message, content: message.content.replace(/^(?:.*?<think>)?.*?<\/think>\n*/s, '') }
      : message
  return { messages: messages.map(strip), tools }
}
