import { type Context, createContext, Script } from 'node:vm'

/** Longer than any pattern takes that does not grow without bound. */
const defaultMilliseconds = 250

const script = new Script('Array.from(text.matchAll(pattern), (match) => match[1] ?? match[0])')
let context: Context | undefined

/**
 * What a pattern that somebody else wrote finds in a text: of each match its first group, or all of it where that has none.
 * Undefined where it takes too long: patterns may need time that grows exponentially with the text, and only an isolated script can
 * be stopped within one.
 *
 * @param pattern - with the flag g
 */
export function matchesWithin(text: string, pattern: RegExp, milliseconds = defaultMilliseconds): string[] | undefined {
  context ??= createContext(Object.create(null))
  context['text'] = text
  context['pattern'] = pattern
  try {
    return [...(script.runInContext(context, { timeout: milliseconds }) as string[])]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return undefined
    throw error
  }
}
