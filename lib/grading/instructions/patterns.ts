import { matchesWithin } from '../matchWithin.js'
import { PatternTooSlow } from './instruction.js'

const wordClass = '\\p{L}\\p{N}_'
/** Between a word's character and another: JavaScript's own knows ASCII only. */
export const wordBoundary = `(?:(?<=[${wordClass}])(?![${wordClass}])|(?<![${wordClass}])(?=[${wordClass}]))`

/** Escapes and the full stop, as Python has them, in JavaScript's syntax. */
function fromPython(source: string): string {
  const translated: Record<string, string> = {
    '\\w': `[${wordClass}]`,
    '\\W': `[^${wordClass}]`,
    '\\d': '\\p{Nd}',
    '\\D': '\\P{Nd}',
    '\\b': wordBoundary,
    '.': '[^\\n]',
  }
  return source.replace(/\\.|\[(?:\\.|[^\]])*\]|\./gs, (part) => translated[part] ?? part)
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')

/**
 * Counts what a word of a benchmark finds, which its reference takes for a pattern in Python's syntax; one that is none, for a text.
 *
 * @param around - patterns before and after the word, and whether case matters
 */
export function patternCounter(
  word: string,
  { before = '', after = '', cased = false }: { before?: string; after?: string; cased?: boolean } = {},
): (text: string) => number {
  const isPlain = !/[\\^$.*+?()[\]{}|]/.test(word)
  const flags = cased ? 'gu' : 'giu'
  const pattern =
    compiled(`${before}${fromPython(word)}${after}`, flags) ??
    compiled(`${before}${escapedForUnicode(word)}${after}`, flags)
  if (isPlain && pattern) return (text) => countOf(text, pattern)
  return (text) => {
    const found = pattern && matchesWithin(text, pattern)
    if (!found) throw new PatternTooSlow(`the pattern ${word} takes too long`)
    return found.length
  }
}

function countOf(text: string, pattern: RegExp): number {
  let count = 0
  for (const _ of text.matchAll(pattern)) count++
  return count
}

// A hyphen needs no escape outside of a class, and has none with the flag u.
const escapedForUnicode = (text: string): string => escaped(text).replaceAll('\\-', '-')

function compiled(source: string, flags: string): RegExp | undefined {
  try {
    return new RegExp(source, flags)
  } catch {
    return undefined
  }
}
