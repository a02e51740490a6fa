import { createHash } from 'node:crypto'
import { readTokenizerFiles } from '../checkpoint/tokenizerFiles.js'
import { ChatTemplate } from '../data/chatTemplate.js'
import { readTemplate } from '../data/readTemplate.js'
import { TextTokenizer } from '../data/tokenizer.js'
import { BranchMergeError } from '../errors.js'
import type { Prompt } from './generation.js'

/** Writes prompts as a checkpoint's own chat template has them. */
export interface PromptRenderer {
  readonly tokenizer: TextTokenizer
  /** SHA-256 of the template, or null where the checkpoint has none: then only texts can be asked. */
  readonly templateHash: string | null
  /** @throws ERR_ENGINE where the template refuses the messages, or there is none */
  render(prompt: Prompt): string
}

/** Whether a rendered prompt opens the reasoning, so that the answer begins within it. */
export const opensReasoning = (text: string): boolean => /<think>\s*$/.test(text)

/**
 * The tokenizer and chat template of a checkpoint.
 *
 * @throws ERR_FILE_READ, ERR_TOKENIZER, ERR_CHAT_TEMPLATE
 */
export async function openPromptRenderer(directory: string): Promise<PromptRenderer> {
  const files = await readTokenizerFiles(directory)
  const tokenizer = new TextTokenizer(files)
  const hasTemplate = files.chatTemplate !== undefined || files.namedTemplates.size > 0
  const found = hasTemplate ? await readTemplate('checkpoint', files) : undefined
  const template = found && new ChatTemplate(found.name, found.text, tokenizer.namedTokens)
  return {
    tokenizer,
    templateHash: found ? createHash('sha256').update(found.text).digest('hex') : null,
    render(prompt) {
      if (prompt.text !== undefined) return prompt.text
      if (!template) {
        throw new BranchMergeError(
          'ERR_ENGINE',
          `Expected a chat template in ${directory} (chat_template.jinja, or chat_template in tokenizer_config.json), ` +
            'which writes messages as the model knows them, but there is none. Write one there, or ask with texts.',
        )
      }
      try {
        return template.prompt(prompt.messages.map(({ role, content }) => ({ role, content })))
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause)
        throw new BranchMergeError('ERR_ENGINE', `Cannot ask the model: ${message}`, { cause })
      }
    },
  }
}
