import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fuse, openCheckpoint, verify } from '../../lib/index.js'
import { fileNames, isPartial, stampFiles } from '../support/directoryContents.js'
import { preload, runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

// docs/output-safety.md makes the promises, this file keeps some of them.

describe('places that are refused before anything is read or written', () => {
  const pair = () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    return { directory, left: left.path, right: right.path }
  }
  const refusal = async (left: string, right: string, out: string, overwrite = false) => {
    const error = await fuse(left, right, { out, overwrite }).catch((reason) => reason)
    return error.code
  }

  test('a full disk', async () => {
    const { left, right, directory } = pair()
    const out = join(directory, 'out')
    const env = { NODE_OPTIONS: preload('tellFullDisk.js') }
    const { code, stdout } = await runCommand(['fuse', left, right, '--out', out, '--json'], { env })
    expect(code).toBe(1)
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'ERR_DISK_FULL',
      message: expect.stringMatching(
        /^Expected [\d.]+ kB free for .* but its file system has [\d.]+ k?B\. Free [\d.]+ kB or /,
      ),
    })
    expect(existsSync(out)).toBe(false)
  })

  test.each(['fuse', 'merge'])(
    'a disk that is full for the statistics of %s: what is complete is said',
    async (command) => {
      const { left, right, directory } = pair()
      const [out, stats] = [join(directory, 'out'), join(directory, 'stats.jsonl')]
      const models = ['a & b', '--model', `a=${left}`, '--model', `b=${right}`]
      const line = [command, ...(command === 'fuse' ? [left, right] : models), '--out', out, '--stats', stats, '--json']
      const env = { NODE_OPTIONS: preload('fullForStats.js') }
      const { code, stdout } = await runCommand(line, { env })
      expect(code).toBe(1)
      expect(JSON.parse(stdout).error).toMatchObject({
        code: 'ERR_DISK_FULL',
        message: expect.stringMatching(
          /^The checkpoint in .*out is complete, but its statistics could not be written.* with --resume/,
        ),
      })
      expect(readdirSync(directory).sort()).toEqual(['left', 'out', 'right'])
      expect((await verify(out)).problems).toEqual([])
      const again = await runCommand([...line, '--resume'])
      expect([again.code, JSON.parse(again.stdout).alreadyDone]).toEqual([0, true])
      expect(readFileSync(stats, 'utf8').trimEnd().split('\n')).toHaveLength(26)
    },
  )

  test('a directory that cannot be made: below a file, and on a file system that takes none', async () => {
    const { left, right, directory } = pair()
    writeFileSync(join(directory, 'file'), '')
    expect(await refusal(left, right, join(directory, 'file', 'out'))).toBe('ERR_OUTPUT_WRITE')
    expect(await refusal(left, right, '/proc/branchmerge/out')).toBe('ERR_OUTPUT_WRITE')
    expect(await refusal(left, right, join(directory, 'file'))).toBe('ERR_OUTPUT_EXISTS')
  })

  test('an existing directory with something in it, unless overwrite', async () => {
    const { left, right, directory } = pair()
    const out = join(directory, 'out')
    mkdirSync(out)
    writeFileSync(join(out, 'precious.txt'), 'mine')
    const before = stampFiles(out)
    expect(await refusal(left, right, out)).toBe('ERR_OUTPUT_EXISTS')
    expect(stampFiles(out)).toEqual(before)
    await fuse(left, right, { out, overwrite: true })
    expect(readFileSync(join(out, 'precious.txt'), 'utf8')).toBe('mine')
    expect((await openCheckpoint(out)).problems).toEqual([])
  })

  test('an empty directory and leftovers of a killed run are fine', async () => {
    const { left, right, directory } = pair()
    const out = join(directory, 'out')
    mkdirSync(out)
    const dead = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => dead.on('close', resolve))
    writeFileSync(join(out, `model.safetensors.${dead.pid}-0123abcd.branchmerge-partial`), 'half')
    writeFileSync(join(out, 'config.json.branchmerge-partial'), 'half')
    await fuse(left, right, { out })
    expect(fileNames(out).filter(isPartial)).toEqual([])
  })

  test('inputs, under any of their names', async () => {
    const { left, right, directory } = pair()
    symlinkSync(right, join(directory, 'link'))
    const stamps = [stampFiles(left), stampFiles(right)]
    const outs = [
      left,
      right,
      join(directory, 'link'),
      join(left, 'out'),
      join(directory, 'link', 'a', 'b'),
      directory,
      '/',
    ]
    for (const out of [...outs, `${left}/.`, join(left, '..', 'left')]) {
      expect([out, await refusal(left, right, out, true)]).toEqual([out, 'ERR_OUTPUT_IS_INPUT'])
    }
    expect([stampFiles(left), stampFiles(right)]).toEqual(stamps)
  })

  test('the directory of an input file, also when the input is a link into it; a new one below is fine', async () => {
    const { left, right, directory } = pair()
    const files = join(directory, 'files')
    mkdirSync(files)
    cpSync(join(left, 'model.safetensors'), join(files, 'a.safetensors'))
    cpSync(join(right, 'model.safetensors'), join(files, 'b.safetensors'))
    const links = join(directory, 'links')
    mkdirSync(links)
    for (const name of ['a.safetensors', 'b.safetensors']) symlinkSync(join(files, name), join(links, name))
    expect(await refusal(join(files, 'a.safetensors'), join(files, 'b.safetensors'), files, true)).toBe(
      'ERR_OUTPUT_IS_INPUT',
    )
    expect(await refusal(join(links, 'a.safetensors'), join(links, 'b.safetensors'), files, true)).toBe(
      'ERR_OUTPUT_IS_INPUT',
    )
    await fuse(join(files, 'a.safetensors'), join(files, 'b.safetensors'), { out: join(files, 'merged') })
    expect(fileNames(join(files, 'merged'))).toContain('model.safetensors')
  })

  test('links and hard links in a replaced directory are replaced, not written through', async () => {
    const { left, right, directory } = pair()
    const out = join(directory, 'out')
    mkdirSync(out)
    const victim = join(directory, 'victim')
    writeFileSync(victim, 'mine')
    for (const name of ['model.safetensors', 'config.json', 'branchmerge.json']) symlinkSync(victim, join(out, name))
    await fuse(left, right, { out, overwrite: true })
    expect(readFileSync(victim, 'utf8')).toBe('mine')
    expect((await openCheckpoint(out)).problems).toEqual([])
  })
})

describe('replacing a checkpoint', () => {
  test('removes its shards and the side files that came with it, and nothing else', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    writeFileSync(join(left.path, 'added_tokens.json'), '{}')
    await fuse(left.path, right.path, { out, maxShardSize: '6KB' })
    writeFileSync(join(out, 'special_tokens_map.json'), '{}') // the user's
    expect(fileNames(out).filter((name) => name.startsWith('model-')).length).toBeGreaterThan(1)
    rmSync(join(left.path, 'added_tokens.json'))
    await fuse(left.path, right.path, { out, overwrite: true })
    await fuse(left.path, right.path, { out: join(directory, 'fresh') })
    expect(fileNames(out)).toEqual([...fileNames(join(directory, 'fresh')), 'special_tokens_map.json'].sort())
  })

  test('keeps the old one when the fusion fails', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    await fuse(left.path, right.path, { out })
    const before = stampFiles(out)
    const onTensor = () => {
      throw new Error('mine')
    }
    await expect(fuse(left.path, right.path, { out, overwrite: true, onTensor })).rejects.toThrow('mine')
    expect(stampFiles(out)).toEqual(before)
  })

  test('a side file that cannot be written leaves nothing', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    writeFileSync(join(left.path, 'tokenizer.json'), Buffer.alloc(2_000_000, ' '))
    const out = join(directory, 'out')
    const shell = 'ulimit -f 1000 && exec "$@"'
    const { code, stderr } = await runCommand(['fuse', left.path, right.path, '--out', out], { shell })
    expect([code, stderr]).toEqual([1, expect.stringContaining('tokenizer.json')])
    expect(existsSync(out)).toBe(false)
  })
})
