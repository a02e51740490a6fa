/** Loaded before the command (`node --import`): at its end it says on stderr how much memory it had at most, in MiB. */
process.on('exit', () => {
  process.stderr.write(`memory ${Math.round(process.resourceUsage().maxRSS / 1024)}\n`)
})
