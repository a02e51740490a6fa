import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fuse } from '../../lib/index.js'
import { crashEverywhere } from '../support/crashSteps.js'
import { fileNames, hashFiles, isPartial, looksComplete, stampFiles } from '../support/directoryContents.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

// docs/output-safety.md makes the promises, this file keeps some of them.

const withoutPartials = (hashes: Record<string, string>) =>
  Object.fromEntries(Object.entries(hashes).filter(([name]) => !isPartial(name)))

describe('a crash right before each change to the file system', () => {
  test('a new directory never looks complete before it is, and can be written again', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory, { leftShards: 2 })
    mkdirSync(join(left.path, 'additional_chat_templates'))
    writeFileSync(join(left.path, 'additional_chat_templates', 'tool_use.jinja'), '{{ tools }}')
    await fuse(left.path, right.path, { out: join(directory, 'expected') })
    const expected = hashFiles(join(directory, 'expected'))
    expect(Object.keys(expected)).toContain('additional_chat_templates/tool_use.jinja')
    const out = join(directory, 'out')
    const args = ['fuse', left.path, right.path, '--out', out]
    const inputs = [left, right].map(({ path }) => stampFiles(path))
    let completed = 0
    const steps = await crashEverywhere({
      args,
      out,
      prepare: () => {},
      check: async () => {
        if (looksComplete(out)) {
          completed++
          expect(hashFiles(out)).toEqual(expected)
          return
        }
        // Leftovers alone do not stand in the way; published files need a word from the user.
        await fuse(left.path, right.path, { out, overwrite: fileNames(out).some((name) => !isPartial(name)) })
        expect(hashFiles(out)).toEqual(expected)
      },
    })
    expect([left, right].map(({ path }) => stampFiles(path))).toEqual(inputs)
    // Every write of a sharded checkpoint was tried: at least a creation, a sync and a rename of each small file.
    expect(steps).toBeGreaterThan(30)
    expect(completed).toBeGreaterThan(0)
  })

  test('a replaced checkpoint is the old one whole, or the new one whole, or does not look complete', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    const old = join(directory, 'old')
    const oldShards = { maxShardSize: '6KB' }
    await fuse(left.path, right.path, { out: old, preset: 'paper', ...oldShards })
    writeFileSync(join(old, 'notes.txt'), 'mine')
    await fuse(left.path, right.path, { out: join(directory, 'expected') })
    const before = hashFiles(old)
    const after = { ...hashFiles(join(directory, 'expected')), 'notes.txt': before['notes.txt'] }
    const inputs = [left, right].map(({ path }) => stampFiles(path))
    const states = new Set<string>()
    await crashEverywhere({
      args: ['fuse', left.path, right.path, '--out', out, '--overwrite'],
      out,
      prepare: () => cpSync(old, out, { recursive: true }),
      check: () => {
        const found = withoutPartials(hashFiles(out))
        const state = !looksComplete(out) ? 'incomplete' : existsSync(join(out, 'model.safetensors')) ? 'new' : 'old'
        states.add(state)
        if (state === 'old') expect(found).toEqual(before)
        if (state === 'new') expect(found).toEqual(after)
      },
    })
    expect([left, right].map(({ path }) => stampFiles(path))).toEqual(inputs)
    expect(states).toEqual(new Set(['old', 'incomplete', 'new']))
    expect(hashFiles(out)).toEqual(after)
  })
})
