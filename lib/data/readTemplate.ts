import { basename, join } from 'node:path'
import type { TokenizerFiles } from '../checkpoint/tokenizerFiles.js'
import { BranchMergeError } from '../errors.js'
import { packageRoot } from '../files/packageRoot.js'
import { readSmallFile } from '../files/readSmallFile.js'

const maxTemplateBytes = 2 ** 20

/**
 * The text of a template by its name, its file, or `checkpoint`, and how messages call it.
 *
 * @throws ERR_FILE_READ, ERR_CHAT_TEMPLATE
 */
export async function readTemplate(name: string, files: TokenizerFiles): Promise<{ name: string; text: string }> {
  if (name === 'checkpoint') {
    const { chatTemplate, namedTemplates, directory } = files
    if (chatTemplate !== undefined) return { name: `the chat template of ${directory}`, text: chatTemplate }
    if (namedTemplates.size > 0) {
      throw new BranchMergeError(
        'ERR_CHAT_TEMPLATE',
        `Expected a chat template called default in ${directory} but there are only ${[...namedTemplates.keys()].join(', ')}. ` +
          'Write the one that counts to a .jinja file, and name it with template.',
      )
    }
    throw new BranchMergeError(
      'ERR_CHAT_TEMPLATE',
      `Expected a chat template in ${directory} (chat_template.jinja, or chat_template in tokenizer_config.json) but there is ` +
        'none. Choose one with template: chatml, qwen, deepseekr1, llama3 or a .jinja file.',
    )
  }
  const path = name.endsWith('.jinja') ? name : join(packageRoot, 'templates', `${name}.jinja`)
  const bytes = await readSmallFile(path, maxTemplateBytes, 'ERR_CHAT_TEMPLATE')
  if (!bytes) throw new BranchMergeError('ERR_FILE_READ', `There is no template at ${path}`)
  return {
    name: `the template ${name.endsWith('.jinja') ? name : basename(path, '.jinja')}`,
    text: bytes.toString('utf8'),
  }
}
