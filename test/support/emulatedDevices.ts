import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Where node-gyp-build finds the addon whose CUDA devices are emulated, and nothing else does. */
export const emulatedAddon = fileURLToPath(new URL('../../build/check/emulated_addon', import.meta.url))

/** Quick after `npm run check`, which has built it; the first build of all takes minutes. */
export function buildEmulatedAddon(): void {
  execFileSync('test/build.sh', ['branchmerge_emulated_addon'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
}

/**
 * Environment of a process whose machine has emulated devices, by the fields of test/native/cuda_emulation/environment.cc:
 * `machine('devices=2', 'fail_launch=3:214')`.
 */
export const machine = (...fields: string[]): Record<string, string> => ({
  BRANCHMERGE_PREBUILD: emulatedAddon,
  CUDA_EMULATION: fields.join(' '),
})

/** What the failures of test/native/cuda_emulation are asked for by. */
export const cudaErrors = { systemNotReady: 802, eccUncorrectable: 214, launchFailure: 719 }

let machines = 0

/** Gives this process, which has loaded the emulated addon, a machine without memory in use or failures so far. */
export function setMachine(...fields: string[]): void {
  Object.assign(process.env, machine('devices=1', ...fields))
  // The emulation takes the machine for another one only where the text is another.
  process.env.CUDA_EMULATION += ' '.repeat(++machines)
}

/** The API on the addon with emulated devices. Before anything else of lib is imported. */
export async function libraryWithDevices(): Promise<typeof import('../../lib/index.js')> {
  buildEmulatedAddon()
  process.env.BRANCHMERGE_PREBUILD = emulatedAddon
  return await import('../../lib/index.js')
}
