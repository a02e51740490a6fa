import { mkdirSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { badFiles } from '../corpus/badFiles.js'
import { badPairs, oddPairs } from '../corpus/badPairs.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

const onePerCode = [...new Map(badFiles.map((item) => [item.code, item])).values()]

describe('branchmerge inspect of a bad file', () => {
  test.each(onePerCode)('$name: $code', async ({ code, write }) => {
    const path = await write(temporaryDirectory())
    const { code: exitCode, signal, stdout, stderr } = await runCommand(['inspect', path, '--json'])
    expect({ exitCode, signal }).toEqual({ exitCode: 1, signal: null })
    expect(stderr).toMatch(/^branchmerge: .+\n$/)
    const { error } = JSON.parse(stdout)
    expect(error.code).toBe(code)
    expect(stderr).toBe(`branchmerge: ${error.message} [${error.code}]\n`)
  })
})

describe('branchmerge fuse with a bad file leaves nothing behind', () => {
  test.each(onePerCode)('$name: $code', async ({ code, reader, write }) => {
    const good = await oddPairs.at(-1)?.write(temporaryDirectory())
    const written = await write(temporaryDirectory())
    const bad = reader === 'header' ? dirname(written) : written
    await expectRefusal(good?.left ?? '', bad, code)
  })
})

describe('branchmerge fuse with a pair that does not fit leaves nothing behind', () => {
  test.each(badPairs)('$name: $code', async ({ code, write }) => {
    const { left, right } = await write(temporaryDirectory())
    await expectRefusal(left, right, code)
  })
})

async function expectRefusal(left: string, right: string, code: string) {
  const parent = temporaryDirectory()
  mkdirSync(join(parent, 'cwd'))
  const args = [
    'fuse',
    left,
    right,
    '--out',
    join(parent, 'out'),
    '--stats',
    join(parent, 'cwd', 'stats.jsonl'),
    '--json',
  ]
  const { code: exitCode, signal, stdout, stderr } = await runCommand(args, { cwd: join(parent, 'cwd') })
  expect({ exitCode, signal }).toEqual({ exitCode: 1, signal: null })
  expect(JSON.parse(stdout).error.code).toBe(code)
  expect(stderr).toContain('branchmerge: ')
  expect(readdirSync(parent, { recursive: true })).toEqual(['cwd'])
}
