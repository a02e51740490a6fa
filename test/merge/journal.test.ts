import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type JournalHead, MergeJournal, readJournal } from '../../lib/merge/output/journal.js'
import { temporaryDirectory } from '../support/temporary.js'

const head = { fingerprint: 'f', merge: {}, inputs: [] } as unknown as JournalHead

test('what follows a line that was cut off is read', () => {
  const path = join(temporaryDirectory(), 'journal')
  const first = MergeJournal.create(path, head)
  first.addWritten({ output: 0, bytes: 10 })
  first.close()
  appendFileSync(path, '{"written":{"output":0,"by')
  const second = MergeJournal.reopen(path)
  second.addWritten({ output: 1, bytes: 20 })
  second.close()
  expect(readJournal(path)).toEqual({
    head: expect.objectContaining(head),
    record: { written: [10, 20], merged: [] },
  })
})

test('a journal that cannot be written is an error of the output', () => {
  const path = join(temporaryDirectory(), 'missing', 'journal')
  expect(() => MergeJournal.create(path, head)).toThrow(expect.objectContaining({ code: 'ERR_OUTPUT_WRITE' }))
})
