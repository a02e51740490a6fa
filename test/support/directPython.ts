import { spawn } from 'node:child_process'
import type { CodeOutline, ProgramRunner, RunOutcome } from '../../lib/sandbox/program.js'

// Reads {code, prelude, entry, args} from fd 3 and does what the sandbox does with a program, without any sandbox.
const driver = `
import ast, json, os, sys
request = json.loads(os.fdopen(3).read())
code = request['code']
if request.get('outline'):
    try:
        tree = ast.parse(code)
        compile(code, 'program', 'exec')
    except Exception as error:
        print(json.dumps({'compiles': False, 'problem': repr(error), 'names': []}))
        sys.exit(0)
    names = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)): names.append(node.name)
        if isinstance(node, ast.ClassDef):
            names.append(node.name)
            names += [node.name + '.' + m.name for m in node.body if isinstance(m, ast.FunctionDef)]
    print(json.dumps({'compiles': True, 'names': names}))
    sys.exit(0)
report = {'status': 'finished'}
scope = {'__name__': '__main__'}
try:
    futures = [l for l in code.split('\\n') if l.startswith('from __future__')]
    body = '\\n'.join(l for l in code.split('\\n') if not l.startswith('from __future__'))
    exec(compile('\\n'.join(futures + [request.get('prelude') or '', body]), 'program', 'exec'), scope)
    if request.get('entry'):
        parts = request['entry'].split('.')
        target = scope[parts[0]]
        if len(parts) > 1: target = getattr(target(), parts[1])
        report['value'] = json.dumps(target(*[json.loads(a) for a in request['args']]))
except SystemExit as error:
    report = {'status': 'exit', 'detail': '0' if error.code is None else str(error.code)}
except BaseException as error:
    report = {'status': 'exception', 'detail': type(error).__name__ + ': ' + str(error)}
sys.stdout.flush()
os.write(4, json.dumps(report).encode())
`

/** Runs programs of the tests, which are harmless, with the machine's python3 and no sandbox. */
export function directPython(): ProgramRunner {
  return {
    level: 0,
    async outline(code) {
      const { stdout } = await ask({ code, outline: true }, '', 20)
      return JSON.parse(stdout) as CodeOutline
    },
    async run(program, inputs, limits, options = {}) {
      const outcomes: RunOutcome[] = []
      for (const [i, input] of inputs.entries()) {
        const began = performance.now()
        const { stdout, report } = await ask({ ...program, args: input.args }, input.stdin ?? '', limits.seconds)
        const result = report === '' ? { status: 'timeout' as const } : JSON.parse(report)
        outcomes.push({ stdout, seconds: (performance.now() - began) / 1000, ...result })
        if (options.goOn?.(outcomes[i] as RunOutcome, i) === false) break
      }
      return outcomes
    },
    async close() {},
  }
}

function ask(request: object, stdin: string, seconds: number): Promise<{ stdout: string; report: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('python3', ['-I', '-c', driver], { stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe'] })
    const [input, output, , asked, reported] = child.stdio as unknown as [
      NodeJS.WritableStream,
      NodeJS.ReadableStream,
      null,
      NodeJS.WritableStream,
      NodeJS.ReadableStream,
    ]
    let [stdout, report] = ['', '']
    output.on('data', (bytes) => {
      stdout += bytes
    })
    reported.on('data', (bytes) => {
      report += bytes
    })
    for (const stream of [input, asked]) stream.on('error', () => {}) // a program need not read its input
    input.end(stdin)
    asked.end(JSON.stringify(request))
    const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000)
    child.on('error', reject)
    child.on('close', () => {
      clearTimeout(timer)
      resolve({ stdout, report })
    })
  })
}
