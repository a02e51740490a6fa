import { join } from 'node:path'
import { Template } from '@huggingface/jinja'
import { expect, test } from 'vitest'
import { previewData } from '../../lib/data/previewData.js'
import { servedTemplate } from '../../lib/data/servedTemplate.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dialogue, plainChatml, writeLines, writeModel } from './support.js'

const opening = plainChatml.replace("assistant\\n' }}{% endif %}", "assistant\\n<think>\\n' }}{% endif %}")

test.each(['target', 'prompt'] as const)(
  'whoever asks gives the expert what it was trained with, think: %s',
  async (think) => {
    const messages = dialogue('a', '<think>\nb\n</think>\n\nc')
    const sources = [writeLines(join(temporaryDirectory(), 'a.jsonl'), [{ messages }])]
    for (const own of [plainChatml, opening]) {
      const model = writeModel({ template: own })
      for (const template of ['checkpoint', 'chatml', 'qwen', 'deepseekr1', 'llama3']) {
        const { samples } = await previewData({ model, sources, template, think })
        const served = (await servedTemplate(model, { template, think, tokenizer: undefined })) ?? own
        expect(served).not.toContain('endgeneration')
        const asked = new Template(served).render({ messages: messages.slice(0, 1), add_generation_prompt: true })
        expect(asked, template).toBe(samples[0]?.stretches[0]?.text)
      }
    }
  },
)
