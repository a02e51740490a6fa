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
  { source, target }: Turn,
  { think, missingThink }: Pick<ResolvedData, 'think' | 'missingThink'>,
): { turn: Turn; thinking: Thinking } {
  const [opens, closes] = [target.indexOf('<think>'), target.indexOf('</think>')]
  const isOpened = /<think>\s*$/.test(source) || (opens >= 0 && (closes < 0 || opens < closes))
  if (!isOpened && closes < 0) {
    if (missingThink === 'leave') return { turn: { source, target }, thinking: 'none' }
    const turn =
      missingThink === 'target'
        ? { source, target: emptyReasoning + target }
        : { source: source + emptyReasoning, target }
    return { turn, thinking: 'added' }
  }
  if (!isOpened) {
    const turn = think === 'target' ? { source, target: opening + target } : { source: source + opening, target }
    return { turn, thinking: 'opened' }
  }
  const atStart = /^\s*<think>\n?/.exec(target)
  const turn =
    think === 'prompt' && atStart
      ? { source: source + opening, target: target.slice(atStart[0].length) }
      : { source, target }
  return { turn, thinking: closes < 0 ? 'unclosed' : 'given' }
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
