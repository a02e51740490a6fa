import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { claimDirectory } from '../../lib/files/claimDirectory.js'
import { temporaryDirectory } from '../support/temporary.js'

const claim = (directory: string) => claimDirectory(directory, 'evaluation', 'ERR_EVALUATION')
const refused = (who: string) => ({ code: 'ERR_EVALUATION', message: expect.stringContaining(who) })

test('one claim at a time, by whatever name', async () => {
  const directory = temporaryDirectory()
  const link = join(temporaryDirectory(), 'link')
  symlinkSync(directory, link)
  const release = await claim(directory)
  await expect(claim(link)).rejects.toMatchObject(refused('This process'))
  await release()
  expect(readdirSync(directory)).toEqual([])
  await (await claim(link))()
})

test('another process has it until it ends, however it ends', async () => {
  const directory = temporaryDirectory()
  const script = `import { claimDirectory } from ${JSON.stringify(new URL('../../dist/files/claimDirectory.js', import.meta.url).href)}
    await claimDirectory(${JSON.stringify(directory)}, 'evaluation', 'ERR_EVALUATION')
    console.log('claimed')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  await expect(claim(directory)).rejects.toMatchObject(refused(`Process ${child.pid}`))
  expect(readdirSync(directory)).toHaveLength(1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const release = await claim(directory)
  expect(readdirSync(directory)).toHaveLength(1)
  await release()
})
