import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type OpenSandboxOptions, openSandbox } from '../../lib/sandbox/openSandbox.js'
import type { ProgramInput, RunOutcome } from '../../lib/sandbox/program.js'
import { Random } from '../support/random.js'
import { rounds } from '../support/rounds.js'
import { environments, sandboxIn, withoutFeatures } from '../support/sandboxes.js'

const limits = { seconds: 10, memoryBytes: 2 ** 30, outputBytes: 2 ** 20 }
const echo = { code: 'print(input())' }
const stdin = (...texts: string[]): ProgramInput[] => texts.map((text) => ({ stdin: text }))

async function open(options: OpenSandboxOptions = {}, command: readonly string[] = []) {
  process.env.BRANCHMERGE_SANDBOX = sandboxIn(command)
  const runner = await openSandbox({ workers: 1, ...options })
  onTestFinished(() => runner.close())
  return runner
}

/** Processes that descend from this one, by what they were started as. */
function descendants(of = process.pid): { pid: number; command: string; bytes: number }[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        // From the state on, which is the third of proc(5).
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        const [parent, bytes] = [Number(fields[1]), Number(fields[21]) * 4096]
        return [{ pid: Number(name), parent, command: /\((.*)\)/s.exec(stat)?.[1] ?? '', bytes }]
      } catch {
        return []
      }
    })
  const below = (pid: number): typeof all =>
    all.filter(({ parent }) => parent === pid).flatMap((one) => [one, ...below(one.pid)])
  return below(of)
}
const sandboxesBelow = (of?: number) =>
  descendants(of).filter(({ command }) => command.startsWith('branchmerge-san') || command.startsWith('python'))

/** Until `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(10)
}

describe('a run', () => {
  test('goes through the inputs in order, until it is told not to', async () => {
    const runner = await open()
    const outcomes = await runner.run(echo, stdin('a', 'b', 'c'), limits, { goOn: ({ stdout }) => stdout !== 'b\n' })
    expect(outcomes.map(({ stdout }) => stdout)).toEqual(['a\n', 'b\n'])
  })

  test('has nothing of the one before, nor of another program', async () => {
    const runner = await open()
    const code =
      'import builtins, json, os, sys\nprint(getattr(builtins, "left", None), json.dumps(1), os.getcwd(), sys.getrecursionlimit())\nbuiltins.left = 1\njson.dumps = lambda *_: "2"\nos.chdir("/")\nsys.setrecursionlimit(5000)\nsys.modules.pop("math", None)'
    const outcomes = await runner.run({ code }, stdin('', ''), limits)
    expect(outcomes.map(({ stdout }) => stdout)).toEqual(Array(2).fill('None 1 /tmp 1000\n'))
    expect(await runner.run({ code: 'def f(): return [1]', entry: 'f' }, [{ args: [] }], limits)).toMatchObject([
      { value: '[1]' },
    ])
  })

  test.each([
    ['exception', 'raise ValueError("no")', 'ValueError: no'],
    ['exception', 'class MyError(Exception): pass\nraise MyError', 'MyError'],
    [
      'exception',
      'import json\njson.loads("")',
      'json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)',
    ],
    ['exception', 'print(', "SyntaxError: '(' was never closed (line 1)"],
    ['exception', 'x = "\0"', 'source code string cannot contain null bytes'],
    ['exit', 'import sys\nsys.exit(3)', '3'],
    ['exit', 'import sys\nsys.exit("message")', '1'],
    ['exit', 'import os\nos._exit(7)', '7'],
    ['signal', 'import os\nos.kill(os.getpid(), 9)', 'SIGKILL'],
    ['signal', 'import ctypes\nctypes.string_at(0)', 'SIGSEGV'],
    ['memory', 'x = bytearray(2 << 30)', 'MemoryError'],
    ['output', 'print("x" * (2 << 20))', undefined],
  ])('that ends by %s is told so: %j', async (status, code, detail) => {
    const runner = await open()
    const [outcome] = await runner.run({ code }, stdin(''), limits)
    expect(outcome?.status).toBe(status)
    if (detail === undefined) expect(outcome?.detail).toBeUndefined()
    else expect(outcome?.detail).toContain(detail)
  })

  test('keeps what was printed before it failed, and all of a large input and output', async () => {
    const runner = await open()
    const [failed] = await runner.run({ code: 'print(1)\nraise SystemError' }, stdin(''), limits)
    expect(failed).toMatchObject({ status: 'exception', stdout: '1\n' })
    const text = 'x'.repeat(5_000_000)
    const [large] = await runner.run(echo, stdin(text), { ...limits, outputBytes: 6_000_000 })
    expect(large?.stdout === `${text}\n`).toBe(true)
  })

  test('is given up when an input is not for it', async () => {
    const runner = await open()
    for (const [program, input] of [
      [echo, { args: [] }],
      [{ code: '', entry: 'f' }, { stdin: '' }],
      [{ code: '', entry: 'f()' }, { args: [] }],
    ] as const) {
      expect(() => runner.run(program, [input], limits)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
    }
    expect(() => runner.run(echo, [], { ...limits, seconds: 0 })).toThrow('limits.seconds')
  })
})

describe('the outline', () => {
  test('names functions, classes and methods of the top level', async () => {
    const runner = await open()
    const code =
      'import os\nclass A:\n    def f(self):\n        def inner(): pass\n    class B: pass\nasync def g(): pass\ntry:\n    def h(): pass\nexcept: \n    def i(): pass\nk = lambda: 1\nif True:\n    def l(): pass\n'
    expect(await runner.outline(code)).toEqual({
      compiles: true,
      names: ['A', 'A.f', 'A.B', 'g', 'h', 'i', 'k', 'l'],
    })
  })

  test.each(['def', 'return 1', `${'('.repeat(1000)}`, `${'-'.repeat(100_000)}1`, 'x = "\0"'])(
    'says what is wrong: %j',
    async (code) => {
      const runner = await open()
      expect(await runner.outline(code)).toMatchObject({ compiles: false, problem: expect.any(String), names: [] })
      expect(await runner.outline('x = 1')).toEqual({ compiles: true, names: [] })
    },
  )
})

describe('time', () => {
  test('that is over is tried again alone', async () => {
    const runner = await open({ workers: 2 })
    // Long enough for a short run to fit beside the first try, however busy the machine is.
    for (let seconds = 1; !(await overlaps(runner, seconds)); seconds *= 2);
  })

  /** Whether short runs went beside the first try of one that does not end; none of them overlaps the second try. */
  async function overlaps(runner: Awaited<ReturnType<typeof open>>, seconds: number): Promise<boolean> {
    const slow = runner.run({ code: 'while True: pass' }, stdin(''), { ...limits, seconds })
    const times: [number, number][] = []
    let slowDone = false
    void slow.then(() => {
      slowDone = true
    })
    while (!slowDone) {
      const begin = Date.now()
      await runner.run({ code: 'import time\ntime.sleep(.05)' }, stdin(''), limits)
      times.push([begin, Date.now()])
    }
    const [outcome] = await slow
    expect(outcome?.status).toBe('timeout')
    expect(outcome?.seconds).toBeGreaterThan(0.9 * seconds)
    // One of them had to wait for as long as the second try took.
    expect(Math.max(...times.map(([begin, end]) => end - begin))).toBeGreaterThan(900 * seconds)
    return times.length > 1
  }

  test('that was over the first time only is no timeout', async () => {
    const runner = await open()
    let outcome: RunOutcome | undefined
    // With more time on a machine that is so busy that the first try begins late, or the second one does not end.
    for (let seconds = 2; seconds <= 32; seconds *= 4) {
      // It sleeps until a moment that lies after the end of the first try.
      const code = `import time\ntime.sleep(max(0, ${Date.now() / 1000 + 1.25 * seconds} - time.time()))\nprint(1)`
      outcome = (await runner.run({ code }, stdin(''), { ...limits, seconds }))[0]
      if (outcome?.status === 'finished' && outcome.seconds < 0.75 * seconds) break
      outcome = undefined
    }
    expect(outcome).toMatchObject({ status: 'finished', stdout: '1\n' })
  })
})

describe('processes', () => {
  test.each(environments)('none is left of many programs, as $name', async ({ command }) => {
    const before = sandboxesBelow().length
    const runner = await open({ workers: 2 }, command)
    const count = rounds({ all: environments[0]?.command === command ? 1000 : 200, quick: 60 })
    const kinds = [
      'print(input())',
      'import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint(input())',
      'import os\nos.kill(os.getpid(), 9)',
      'import os, sys\nprint(input(), flush=True)\nos.closerange(0, 100)',
    ]
    const run = async (i: number): Promise<RunOutcome[]> =>
      runner.run({ code: `${kinds[i % kinds.length]} # ${i}` }, stdin(String(i)), limits)
    const outcomes = (await Promise.all(Array.from({ length: count }, (_, i) => run(i)))).flat()
    expect(outcomes.filter(({ status }) => status === 'finished').length).toBeGreaterThanOrEqual(count / 2)
    expect(outcomes.filter(({ stdout }, i) => i % 4 < 2 && stdout !== `${i}\n`)).toEqual([])
    // Two sandboxes, an interpreter each, and whatever starts and counts processes in a namespace.
    expect(sandboxesBelow().length - before).toBeLessThanOrEqual(6)
    await runner.close()
    await until(() => sandboxesBelow().length === before)
  })

  test('a sandbox that is killed is replaced, and its run is tried again', async () => {
    const runner = await open()
    const before = sandboxesBelow().map(({ pid }) => pid)
    const run = runner.run({ code: 'import time\ntime.sleep(1)\nprint(1)' }, stdin(''), limits)
    await delay(200)
    process.kill(before[0] as number, 'SIGKILL')
    expect(await run).toMatchObject([{ status: 'finished', stdout: '1\n' }])
    await until(() => sandboxesBelow().every(({ pid }) => !before.includes(pid)))
  })

  test('a run whose sandbox is killed twice is none', async () => {
    const runner = await open()
    let ended = false
    const long = { ...limits, seconds: 1000 }
    // That the program runs is seen by its memory.
    const bytes = 64 << 20
    const code = `held = bytearray(b"1") * ${bytes}\nimport time\ntime.sleep(900)`
    const run = runner.run({ code }, stdin(''), long).finally(() => {
      ended = true
    })
    run.catch(() => {}) // told of below
    const killed = new Set<number>()
    while (!ended) {
      const [first] = sandboxesBelow()
      if (first && !killed.has(first.pid) && descendants(first.pid).some((below) => below.bytes >= bytes)) {
        killed.add(first.pid)
        process.kill(first.pid, 'SIGKILL')
      }
      await delay(10)
    }
    expect(await run).toMatchObject([{ status: 'protocol' }])
    expect(killed.size).toBe(2)
    expect(await runner.run(echo, stdin('1'), limits)).toMatchObject([{ stdout: '1\n' }])
  })

  test('an abort ends what runs and what waits, with its reason, and the others go on', async () => {
    const runner = await open()
    const controller = new AbortController()
    const { signal } = controller
    const slow = runner.run({ code: 'while True: pass' }, stdin(''), { ...limits, seconds: 1000 }, { signal })
    const waiting = runner.run(echo, stdin(''), limits, { signal })
    const other = runner.run(echo, stdin('2'), limits)
    const reason = new Error('enough')
    setTimeout(() => controller.abort(reason), 300)
    expect(await Promise.allSettled([slow, waiting])).toEqual(Array(2).fill({ status: 'rejected', reason }))
    expect(await other).toMatchObject([{ stdout: '2\n' }])
    await expect(async () => runner.run(echo, stdin(''), limits, { signal })).rejects.toBe(reason)
    await expect(openSandbox({ signal })).rejects.toBe(reason)
  })

  test('closing ends what runs and what waits', async () => {
    const runner = await open()
    const before = sandboxesBelow().length
    const runs = [0, 1].map(() => runner.run({ code: 'while True: pass' }, stdin(''), { ...limits, seconds: 1000 }))
    const settled = Promise.allSettled(runs)
    await delay(200)
    await runner.close()
    for (const { status, ...rest } of await settled) {
      expect({ status, ...rest }).toMatchObject({ status: 'rejected', reason: { code: 'ERR_SANDBOX' } })
    }
    await expect(runner.outline('')).rejects.toMatchObject({ code: 'ERR_SANDBOX' })
    await until(() => sandboxesBelow().length < before)
  })

  test('nothing outlives a process that is killed, and an idle sandbox keeps none alive', async () => {
    const dist = new URL('../../dist/sandbox/openSandbox.js', import.meta.url).href
    const script = `const { openSandbox } = await import(${JSON.stringify(dist)})
      const runner = await openSandbox({ workers: 1 })
      console.log('open')
      if (process.argv[1] === 'run') await runner.run({ code: 'while True: pass' }, [{ stdin: '' }], { seconds: 1000, memoryBytes: 2 ** 30, outputBytes: 1 })`
    const idle = execFileSync(process.execPath, ['--input-type=module', '-e', script, 'idle'], { timeout: 600_000 })
    expect(String(idle)).toBe('open\n')
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, 'run'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    await until(() => sandboxesBelow(child.pid).length > 0)
    await delay(300)
    const started = sandboxesBelow(child.pid).map(({ pid }) => pid)
    expect(started.length).toBeGreaterThan(1)
    child.kill('SIGKILL')
    const isThere = (pid: number) => readdirSync('/proc').includes(String(pid))
    await until(() => !started.some(isThere))
  })
})

describe('what is refused', () => {
  test.each([
    [
      'no namespaces, no Landlock',
      ['namespaces', 'landlock'],
      1,
      /level 2 .* level 1:[\s\S]*clone[\s\S]*Landlock: Function not implemented/,
    ],
    ['no seccomp', ['seccomp'], 0, /level 2 .* level 0:[\s\S]*seccomp: Invalid argument/],
  ] as const)('%s, unless it is told', async (_, features, level, message) => {
    await expect(open({}, withoutFeatures(...features))).rejects.toMatchObject({
      code: 'ERR_SANDBOX',
      message: expect.stringMatching(message),
    })
    const runner = await open({ minimumLevel: level }, withoutFeatures(...features))
    expect(runner.level).toBe(level)
    expect(await runner.run(echo, stdin('1'), limits)).toMatchObject([{ status: 'finished', stdout: '1\n' }])
  })

  test('level 3 where only 2 is reached; 2 where nothing can be mounted is enough', async () => {
    await expect(open({ minimumLevel: 3 }, withoutFeatures('mounts'))).rejects.toThrow('keeping mounts apart')
    expect((await open({}, withoutFeatures('mounts'))).level).toBe(2)
  })

  test('no sandbox, no python3, and what is no python3', async () => {
    await expect(open({ python: '/none/python3' })).rejects.toMatchObject({
      code: 'ERR_SANDBOX',
      message: expect.stringMatching(/there is no \/none\/python3[\s\S]*option python/),
    })
    await expect(open({ python: '/bin/cat' })).rejects.toMatchObject({ code: 'ERR_SANDBOX' })
    process.env.BRANCHMERGE_SANDBOX = '/none/sandbox'
    await expect(openSandbox()).rejects.toMatchObject({
      code: 'ERR_SANDBOX',
      message: expect.stringContaining('/none/sandbox'),
    })
  })

  test('options that are none', async () => {
    for (const options of [{ workers: 0 }, { minimumLevel: 4 }, { python: 1 }, { worker: 1 }]) {
      await expect(openSandbox(options as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    }
  })
})

describe('the protocol', () => {
  test('random bytes of a program, to every descriptor, are no answer', async () => {
    const runner = await open()
    const random = new Random(5)
    for (let round = 0; round < rounds({ all: 150, quick: 15 }); round++) {
      const bytes = Array.from({ length: random.below(200) }, () => random.below(256))
      const end = ['', 'os._exit(0)', 'raise ValueError'][random.below(3)]
      const code = `import os\nos.write(3, bytes(${JSON.stringify(bytes)}))\ndef f():\n    for d in range(4, 64):\n        try: os.write(d, b"x")\n        except OSError: pass\n    ${end}\n    return 1`
      const [outcome] = await runner.run({ code, entry: 'f' }, [{ args: [] }], limits)
      const mayBe = bytes.length === 0 ? ['finished', 'exit', 'exception'] : ['protocol']
      expect(mayBe, JSON.stringify(outcome)).toContain(outcome?.status)
    }
    expect(await runner.run(echo, stdin('1'), limits)).toMatchObject([{ status: 'finished', stdout: '1\n' }])
  })

  test('random requests end the sandbox, and nothing is left', async () => {
    const random = new Random(6)
    const python = execFileSync('/bin/sh', ['-c', 'command -v /usr/bin/python3 || command -v python3'])
      .toString()
      .trim()
    const binary = sandboxIn([])
    const readable = ['/usr/lib/python3', '/usr/local/lib'].flatMap((path) => ['--readable', path])
    for (let round = 0; round < rounds({ all: 20, quick: 4 }); round++) {
      const child = spawn(binary, ['--python', python, ...readable], {
        stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
        detached: true,
      }) as ChildProcessWithoutNullStreams
      child.stderr.resume()
      await once(child.stdout, 'data') // it is ready
      const length = Buffer.alloc(4)
      length.writeUInt32LE(1 + random.below(64))
      const noise = Buffer.from(Array.from({ length: 300 }, () => random.below(256)))
      const answers: Buffer[] = []
      child.stdout.on('data', (chunk: Buffer) => answers.push(chunk))
      child.stdin.on('error', () => {})
      child.stdin.end(Buffer.concat([length, noise]))
      await once(child, 'close')
      expect(Buffer.concat(answers).length).toBe(0)
    }
    await until(() => descendants().every(({ command }) => !command.startsWith('python')))
  })
})

test('the program says how it is used, and refuses what it does not know', () => {
  const binary = fileURLToPath(new URL('../../build/Release/branchmerge-sandbox', import.meta.url))
  expect(execFileSync(binary, ['--help']).toString()).toContain('--minimum-level')
  expect(() => execFileSync(binary, ['--python', 'python3'], { stdio: 'pipe' })).toThrow('Expected an absolute path')
})
