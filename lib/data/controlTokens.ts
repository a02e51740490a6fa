import type { TextTokenizer } from './tokenizer.js'

/** What finds texts that would become control tokens; undefined where there is none. */
export interface ControlTokens {
  /** In what is said. */
  inTexts: RegExp | undefined
  /** In names and in the parts of a call: also the tags that a template puts around calls. */
  inCalls: RegExp | undefined
}

/**
 * Added tokens that are no text: those that are flagged special or have a role (eos_token), those in a control token's usual form,
 * `<|…|>` or `<｜…｜>`, whatever their flag, and those that the template writes. Tags in pairs, `<tool_call>` and `</tool_call>`,
 * are text in an answer, which may have been written with them, and control tokens within a call. `<think>` is always text.
 */
export function controlTokens({ addedTokens, namedTokens }: TextTokenizer, template: string): ControlTokens {
  const texts = new Set(addedTokens.map(({ content }) => content))
  const named = new Set(Object.values(namedTokens))
  const isPairOfTags = (text: string) => {
    const [, slash, name] = /^<(\/?)([\w-]+)>$/.exec(text) ?? []
    return name !== undefined && texts.has(slash ? `<${name}>` : `</${name}>`)
  }
  const candidates = addedTokens.filter(({ content }) => content.trim() !== '' && !/^<\/?think>$/.test(content))
  const used = candidates.filter(
    ({ content, special }) =>
      special || named.has(content) || /^<([|｜])[^<>]+\1>$/.test(content) || template.includes(content),
  )
  const inTexts = used.filter(({ content, special }) => special || named.has(content) || !isPairOfTags(content))
  return { inTexts: patternOf(inTexts), inCalls: patternOf(used) }
}

function patternOf(tokens: readonly { content: string }[]): RegExp | undefined {
  if (tokens.length === 0) return undefined
  return new RegExp(tokens.map(({ content }) => content.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'))
}
