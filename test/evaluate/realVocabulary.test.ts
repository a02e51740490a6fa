import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { expect, test } from 'vitest'
import { evaluate } from '../../lib/index.js'
import { startLlama } from '../llama/llama.js'
import { modelWith, published } from '../support/publishedTokenizer.js'
import { temporaryDirectory } from '../support/temporary.js'

const questions = [
  'What is 1 + 1?',
  'Größe, naïve, Łódź',
  '你好，世界。🙂',
  'def f(x):\n\treturn x ** 2',
  '<|im_end|> as text',
]

/** What llama.cpp itself writes after a text, and the number of the text's tokens. */
async function byLlama(gguf: string, texts: readonly string[], limit: number) {
  const llama = await startLlama()
  try {
    const model = await llama.loadModel({ modelPath: gguf, gpuLayers: 0 })
    const found: { prompt: number; written: number[] }[] = []
    for (const text of texts) {
      const context = await model.createContext({ contextSize: 512, threads: 1 })
      const tokens = model.tokenize(text, true)
      const written: number[] = []
      for await (const token of context.getSequence().evaluate(tokens, { temperature: 0 })) {
        written.push(token)
        if (written.length === limit) break
      }
      found.push({ prompt: tokens.length, written })
      await context.dispose()
    }
    return found
  } finally {
    await llama.dispose()
  }
}

test('a model with the published vocabulary of Qwen3, 151,936 rows, is evaluated in this process', async () => {
  const files = published('qwen3')
  const model = modelWith(151_936, files)
  const directory = temporaryDirectory()
  const path = join(directory, 'questions.jsonl')
  const rows = questions.map((question, i) => ({ id: `q${i}`, question, answer: 'unlikely', grader: 'exact' }))
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const evaluation = {
    out: join(directory, 'results'),
    models: { tiny: { path: model, cache: join(directory, 'cache'), concurrency: 3 } },
    benchmarks: { mine: path },
    trials: 2,
    sampling: { temperature: 0, maxTokens: 6 },
  }
  const summary = await evaluate(evaluation)
  expect(summary).toMatchObject({ wanted: 10, answered: 10, failed: 0 })
  const record = JSON.parse(readFileSync(join(evaluation.out, 'evaluation.json'), 'utf8'))
  const texts = questions.map((text) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`)
  const expected = await byLlama(record.models.tiny.description.gguf, texts, 6)
  const tokenizer = new Tokenizer(JSON.parse(files.tokenizer), JSON.parse(files.config))
  const answers = readFileSync(join(evaluation.out, 'answers.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
  expect(answers).toHaveLength(10)
  for (const { question, text, tokens } of answers) {
    const { prompt, written } = expected[Number(question.slice(1))] as { prompt: number; written: number[] }
    const decoded = tokenizer.decode(written, { skip_special_tokens: true })
    expect([question, text, tokens]).toMatchObject([question, decoded, { prompt, completion: written.length }])
  }
  const drawn = { ...evaluation, out: join(directory, 'drawn'), sampling: { maxTokens: 6 } }
  expect(await evaluate(drawn)).toMatchObject({ answered: 10, failed: 0 })
})
