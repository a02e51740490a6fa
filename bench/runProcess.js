import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** How often memory is looked at: a tensor of 600 MB takes longer than this to fuse. */
const SAMPLE_MILLISECONDS = 20

/** Anonymous memory of a process now; 0 once it is gone. @param {number} pid */
function anonymousBytes(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(/^RssAnon:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/**
 * Runs a program to its end and rejects unless it succeeds. Its standard error is shown only then.
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<{ stdout: string, seconds: number, peakAnonymousBytes: number }>} seconds from start to exit
 */
export function runProcess(command, args) {
  return new Promise((resolve, reject) => {
    const begin = performance.now()
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr, peakAnonymousBytes, seconds] = ['', '', 0, 0]
    const sample = () => {
      peakAnonymousBytes = Math.max(peakAnonymousBytes, anonymousBytes(child.pid ?? 0))
    }
    const sampler = setInterval(sample, SAMPLE_MILLISECONDS)
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text
    })
    child.on('exit', () => {
      seconds = (performance.now() - begin) / 1000
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearInterval(sampler)
      if (code === 0) resolve({ stdout, seconds, peakAnonymousBytes })
      else reject(new Error(`${command} ${args.join(' ')} ended with ${signal ?? code}\n${stdout}${stderr}`))
    })
  })
}
