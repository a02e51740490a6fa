import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resolveMergeRequest } from '../../lib/merge/plan/mergeRequest.js'
import { prepare, survey } from '../../lib/merge/run/session.js'
import { fileNames, stampFiles } from '../support/directoryContents.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

function pair() {
  const directory = temporaryDirectory()
  const { left, right } = writePair(directory)
  const out = join(directory, 'out')
  return { out, models: { a: left.path, b: right.path } }
}

test('a session knows all but the tensors before it runs, and has written nothing', async () => {
  const { out, models } = pair()
  const session = await prepare(resolveMergeRequest('a & b', { out, models }))
  expect(existsSync(out)).toBe(false)
  expect(session.finished).toBeUndefined()
  expect(session.plan.files.map(({ name }) => name)).toEqual(['model.safetensors'])
  const { summary, tensors, merged } = await session.run()
  expect(summary).toMatchObject({ tensors: session.plan.files[0]?.tensors.length, alreadyDone: false })
  expect(tensors).toEqual(merged?.outcome.tensors)
  expect(fileNames(out)).toContain('model.safetensors')
})

test('a session of a merge that is finished tells what was done and does nothing', async () => {
  const { out, models } = pair()
  const first = await (await prepare(resolveMergeRequest('a & b', { out, models }))).run()
  const before = stampFiles(out)
  const again = await prepare(resolveMergeRequest('a & b', { out, models, resume: true }))
  expect(again.finished?.output.tensors).toBe(first.summary.tensors)
  const { summary, tensors, merges, merged } = await again.run()
  expect(summary).toMatchObject({ alreadyDone: true, bytesRead: 0, merges: first.summary.merges })
  expect(tensors.map(({ name, steps }) => [name, steps])).toEqual(first.tensors.map(({ name, steps }) => [name, steps]))
  expect(merges).toMatchObject(first.merges)
  expect(merged).toBeUndefined()
  expect(stampFiles(out)).toEqual(before)
})

test('without resume a finished output is in the way, of a session and of a survey', async () => {
  const { out, models } = pair()
  const request = resolveMergeRequest('a & b', { out, models })
  expect((await survey(request)).plan.parameters).toBeGreaterThan(0)
  await (await prepare(request)).run()
  for (const again of [prepare, survey])
    await expect(again(request)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
})
