import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type SftProgress, selectData, sft, teach } from '../../../lib/index.js'
import { doubleEnv, newRun } from '../../support/sftRun.js'
import { additions, rowsOf, serverOf, writeRows } from '../../teach/taughtServer.js'

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

test('an expert has the origin of its data, of teachings and selections, unless the data was changed', async () => {
  const { directory, file, output } = await newRun()
  Object.assign(process.env, doubleEnv())
  const [questions, taught, chosen] = ['questions', 'taught', 'chosen'].map((name) =>
    join(directory, `${name}.jsonl`),
  ) as [string, string, string]
  writeRows(questions, additions(20))
  const server = await serverOf()
  await teach({ questions, teacher: server.url, out: taught, sampling: { maxTokens: 64 } })
  const recipe = { sources: [{ name: 'taught', path: taught, map: { messages: 'messages' } }], steps: [] }
  await selectData(recipe, { out: chosen })
  const run = readFileSync(file, 'utf8')
  writeFileSync(file, run.replace(/sources: .*/, `sources: [data.jsonl, ${taught}, ${chosen}]`))
  const notes: string[] = []
  const onProgress = (progress: SftProgress) => {
    if (progress.phase === 'log' && progress.line.startsWith('Note')) notes.push(progress.line)
  }
  await sft(file, { onProgress })
  const read = (expert = output) => JSON.parse(readFileSync(join(expert, 'training/provenance.json'), 'utf8'))
  const plain = join(directory, 'data.jsonl')
  expect(read()).toMatchObject({
    format: 1,
    data: expect.stringMatching(/^[0-9a-f]{64}$/),
    sources: [
      { name: 'data', files: [{ name: 'data.jsonl', sha256: sha256(plain) }] },
      {
        name: 'taught',
        files: [
          {
            sha256: sha256(taught),
            teaching: JSON.parse(readFileSync(join(directory, 'taught.teaching.json'), 'utf8')),
          },
        ],
      },
      { name: 'chosen', files: [{ selection: { output: { sha256: sha256(chosen) } } }] },
    ],
  })
  expect(Object.keys(read().sources[0].files[0])).toEqual(['name', 'bytes', 'sha256'])
  expect(notes).toEqual([])
  // Somebody writes a row of their own to it.
  appendFileSync(taught, `${JSON.stringify(rowsOf(taught)[0])}\n`)
  const other = join(directory, 'other.yaml')
  writeFileSync(other, readFileSync(file, 'utf8').replace('output: expert', 'output: other'))
  await sft(other, { onProgress })
  expect(read(join(directory, 'other')).sources[1].files[0].teaching).toBeUndefined()
  expect(notes).toEqual([expect.stringMatching(/^Note: .*taught\.teaching\.json is of other bytes than/)])
})
