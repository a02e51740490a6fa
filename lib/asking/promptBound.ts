import type { Prompt } from '../engines/generation.js'

/** Role, separators and an empty reasoning block that templates write around a message. */
const tokensOfMessage = 32

/** Tokens that a prompt has at most: no token is shorter than a byte, but those that a template adds. */
export function promptBound(prompt: Prompt): number {
  const texts = prompt.messages ? prompt.messages.map(({ content }) => content) : [prompt.text]
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text) + tokensOfMessage, 0)
}
