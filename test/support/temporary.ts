import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, onTestFinished } from 'vitest'

/** A new directory that goes when the test that asked for it is over. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'branchmerge-test-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A new directory that goes when all tests of the file are over. */
export function temporaryDirectoryOfFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'branchmerge-test-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
