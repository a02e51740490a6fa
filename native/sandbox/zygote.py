# Starts the programs of a sandbox: branchmerge-sandbox runs this text with the machine's python3, confined already.
#
# It answers one request at a time. Programs are compiled in a process of their own, once, and each run of one is a process of its
# own, forked from this one, which has imported what most programs import and has run nothing of any. What a run says of itself
# comes through a pipe that is read with a limit and not trusted; how it ended is the kernel's word.
#
# A request is the length of a header (4 bytes, little endian), the header in JSON, and then as many bytes as its "parts" add up
# to. So is a reply.
import ast, atexit, ctypes, gc, io, json, marshal, os, resource, select, signal, struct, sys, threading, time, types  # noqa: E401
# What programs import most often: a fork has them at once.
import bisect, collections, copy, dataclasses, datetime, decimal, fractions, functools, heapq, itertools  # noqa: E401, F401
import enum, math, operator, random, re, statistics, string, textwrap, typing  # noqa: E401, F401

LEVEL = int(sys.argv[1])
FILTER = bytearray.fromhex(sys.argv[2])
SCRATCH = sys.argv[3]
OWN_PROCESS = 0x50494421  # seccomp_filter.h
FILTER_SLOTS = [at + 4 for at in range(0, len(FILTER), 8) if FILTER[at + 4:at + 8] == struct.pack('<I', OWN_PROCESS)]

REQUESTS, REPLIES, RECORD, LEAST_PIPE = 10, 11, 3, 20
SET_DUMPABLE, SET_PDEATHSIG, SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 1, 22, 2

# A program may leave files in /tmp: so much each.
FILE_BYTES = 64 << 20
# What a program may say besides its value: the message of an exception.
MESSAGE_BYTES = 4096
COMPILE_SECONDS, COMPILE_MEMORY, COMPILE_BYTES = 30, 4 << 30, 256 << 20
# A thread's stack: what Linux gives by default, not the room that the main thread has for recursion.
THREAD_STACK_BYTES = 8 << 20
# Libraries that are slow to import: imported here when the first program does.
WARM = {'numpy'}

libc = ctypes.CDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    _fields_ = [('count', ctypes.c_ushort), ('instructions', ctypes.c_void_p)]


def prctl(option, argument=0, pointer=None):
    result = libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0))
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f'prctl({option})')


def set_up_descriptors():
    """Requests and replies move up, and 0 to 3 say nothing, so that no pipe of a run gets a number that a program uses."""
    for target, source in ((REQUESTS, 0), (REPLIES, 1)):
        os.dup2(source, target, inheritable=False)
    null = os.open('/dev/null', os.O_RDWR)
    for descriptor in (0, 1, RECORD):
        os.dup2(null, descriptor, inheritable=True)
    os.close(null)


def read_exactly(descriptor, count):
    parts = []
    while count > 0:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            os._exit(0)  # whoever asks is gone
        parts.append(part)
        count -= len(part)
    return b''.join(parts)


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def read_request():
    header = json.loads(read_exactly(REQUESTS, struct.unpack('<I', read_exactly(REQUESTS, 4))[0]))
    return header, [read_exactly(REQUESTS, size) for size in header['parts']]


def write_reply(header, parts=()):
    text = json.dumps({**header, 'parts': [len(part) for part in parts]}).encode()
    write_all(REPLIES, struct.pack('<I', len(text)) + text + b''.join(parts))


def write_record(nonce, kind, payload, write=os.write):
    """What a run says of itself."""
    data = memoryview(nonce + kind + payload)
    while data:
        data = data[write(RECORD, data):]


def confine(parent, seconds, memory):
    """Takes from a new process what a program is not to have."""
    prctl(SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.closerange(RECORD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    cpu = 4 * int(seconds + 1) + 4  # the clock ends it before; this holds when nobody looks at the clock any more
    for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, FILE_BYTES), (resource.RLIMIT_CPU, cpu)):
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    if FILTER:
        for at in FILTER_SLOTS:
            struct.pack_into('<I', FILTER, at, os.getpid())
        instructions = (ctypes.c_char * len(FILTER)).from_buffer(FILTER)
        program = Filter(len(FILTER) // 8, ctypes.addressof(instructions))
        prctl(SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


class Run:
    """A process of its own for `work`, and what came of it: `output`, `record` (kind and payload), `status`, `detail`."""

    def __init__(self, work, stdin, seconds, memory, output_bytes, record_bytes):
        self.nonce = os.urandom(16)
        # A file: programs ask for its size, and seek in it.
        self.stdin = os.memfd_create('stdin')
        write_all(self.stdin, stdin)
        os.lseek(self.stdin, 0, os.SEEK_SET)
        self.pipes = []
        for _ in range(2):
            self.pipes += os.pipe()
        self.start = time.monotonic()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self.become(work, parent, seconds, memory)
        os.close(self.stdin)
        os.close(self.pipes[1])
        os.close(self.pipes[3])
        limits = {self.pipes[0]: output_bytes, self.pipes[2]: len(self.nonce) + 1 + record_bytes}
        received, stopped = self.collect(limits, self.start + seconds)
        ended, usage = self.wait(self.start + seconds, stopped)
        self.seconds = time.monotonic() - self.start
        self.cpu = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss * 1024
        self.output = received[self.pipes[0]][:output_bytes]
        self.judge(received[self.pipes[2]], stopped or self.stopped, ended, seconds)

    def become(self, work, parent, seconds, memory):
        try:
            os.dup2(self.stdin, 0)
            os.dup2(self.pipes[1], 1)
            os.dup2(self.pipes[3], RECORD)
            confine(parent, seconds, memory)
            work(self.nonce)
        finally:
            os._exit(70)

    def collect(self, limits, deadline):
        """Reads until both pipes end, the time is over, or one of them has brought too much."""
        received = {descriptor: bytearray() for descriptor in limits}
        poll = select.poll()
        poll.register(REQUESTS, 0)  # only its end
        for descriptor in limits:
            poll.register(descriptor, select.POLLIN)
        open_pipes = set(limits)
        stopped = None
        while open_pipes and stopped is None:
            left = deadline - time.monotonic()
            if left <= 0:
                stopped = 'timeout'
                break
            for descriptor, _ in poll.poll(left * 1000 + 1):
                if descriptor == REQUESTS:
                    os.kill(self.pid, signal.SIGKILL)
                    os._exit(0)
                part = os.read(descriptor, 1 << 16)
                received[descriptor] += part
                if not part:
                    poll.unregister(descriptor)
                    open_pipes.discard(descriptor)
                elif len(received[descriptor]) > limits[descriptor]:
                    stopped = 'output'
        for descriptor in limits:
            os.close(descriptor)
        return received, stopped

    def wait(self, deadline, stopped):
        """A program has ended when its pipes have, but for one that closes them: it has until the deadline."""
        pause = 0.0001
        self.stopped = stopped
        while self.stopped is None:
            pid, ended, usage = os.wait4(self.pid, os.WNOHANG)
            if pid != 0:
                return ended, usage
            if time.monotonic() >= deadline:
                self.stopped = 'timeout'
            time.sleep(pause)
            pause = min(pause * 2, 0.01)
        os.kill(self.pid, signal.SIGKILL)
        _, ended, usage = os.wait4(self.pid, 0)
        return ended, usage

    def judge(self, record, stopped, ended, seconds):
        self.kind, self.payload, self.detail = None, b'', None
        if stopped is not None:
            self.status = stopped
        elif os.WIFSIGNALED(ended):
            number = os.WTERMSIG(ended)
            self.status = 'signal'
            self.detail = signal.Signals(number).name if number in set(signal.Signals) else f'signal {number}'
            if number in (signal.SIGKILL, signal.SIGXCPU) and self.cpu > 4 * seconds:
                self.status, self.detail = 'timeout', None
        elif not record:
            self.status, self.detail = 'exit', str(os.WEXITSTATUS(ended))
        elif record[:16] != self.nonce or len(record) < 17:
            self.status, self.detail = 'protocol', 'the program wrote to a descriptor that is not its own'
        else:
            self.kind, self.payload = bytes(record[16:17]), bytes(record[17:])
            self.judge_record(os.WEXITSTATUS(ended))

    def judge_record(self, code):
        text = self.payload.decode('utf-8', 'replace')
        if self.kind in (b'F', b'V', b'C') and code == 0 and (self.kind != b'F' or not self.payload):
            self.status = 'finished'
        elif self.kind in (b'E', b'M') and len(self.payload) <= MESSAGE_BYTES:
            self.status, self.detail = ('memory' if self.kind == b'M' else 'exception'), text
        elif self.kind in (b'X', b'F', b'V'):
            self.status, self.detail = 'exit', str(code)
        else:
            self.status, self.detail = 'protocol', 'the program wrote to a descriptor that is not its own'


def describe(error):
    """As the last line of a traceback."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ in ('builtins', '__main__') else f'{kind.__module__}.{kind.__name__}'
    try:
        text = str(error)
    except BaseException:
        text = '<exception str() failed>'
    return (f'{name}: {text}' if text else name).encode('utf-8', 'replace')[:MESSAGE_BYTES]


def open_streams():
    """stdin, stdout and stderr as the interpreter opens them."""
    null = os.open('/dev/null', os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)

    def stream(descriptor, name, mode, errors, newline):
        buffer = open(descriptor, mode + 'b', closefd=False)
        buffer.raw.name = name
        result = io.TextIOWrapper(buffer, encoding='utf-8', errors=errors, newline=newline)
        result.mode = mode
        return result

    sys.stdin = sys.__stdin__ = stream(0, '<stdin>', 'r', 'surrogateescape', None)
    sys.stdout = sys.__stdout__ = stream(1, '<stdout>', 'w', 'surrogateescape', '\n')
    sys.stderr = sys.__stderr__ = stream(2, '<stderr>', 'w', 'backslashreplace', '\n')


def call(names, entry, arguments):
    holder, _, method = entry.rpartition('.')
    function = getattr(names[holder](), method) if holder else names[method]
    return function(*arguments)


def execute(codes, entry, arguments, nonce, exit_process=os._exit, dumps=json.dumps):
    """Runs a program in this process, ends as an interpreter does, and says how."""
    open_streams()
    streams = [sys.stdout, sys.stderr]
    name = 'solution' if entry else '__main__'
    module = types.ModuleType(name)
    sys.modules['__main__'] = sys.modules[name] = module
    names = module.__dict__
    names['__file__'] = 'solution.py'
    names['__builtins__'] = __builtins__
    sys.argv = ['solution.py']
    threading.stack_size(THREAD_STACK_BYTES)
    gc.enable()
    kind, payload, code = b'F', b'', 0
    try:
        arguments = [json.loads(text) for text in arguments]
        for compiled in marshal.loads(codes):
            exec(compiled, names)
        if entry:
            kind, payload = b'V', dumps(call(names, entry, arguments)).encode()
    except SystemExit as error:
        kind, payload = b'X', b''
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException as error:
        kind, payload, code = b'M' if isinstance(error, MemoryError) else b'E', describe(error), 1
    finish(streams, names if not entry else {})
    write_record(nonce, kind, payload)
    exit_process(code & 0xff)


def finish(streams, names):
    """Waits for threads, runs what is registered for the end, and flushes what files hold."""
    for step in (threading._shutdown, atexit._run_exitfuncs, lambda: sys.stdout.flush(), names.clear,
                 *(stream.flush for stream in streams)):
        try:
            step()
        except BaseException:
            pass


def names_of(tree):
    """Functions and classes at the top level of a module, also below if, try and with, and methods as Class.method."""
    names = []

    def visit(statements, prefix):
        for node in statements:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names.append(prefix + node.name)
            elif isinstance(node, ast.ClassDef):
                names.append(prefix + node.name)
                if not prefix:
                    visit(node.body, node.name + '.')
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                names.extend(prefix + target.id for target in node.targets if isinstance(target, ast.Name))
            else:
                for field in ('body', 'orelse', 'finalbody'):
                    visit(getattr(node, field, None) or [], prefix)
                for handler in getattr(node, 'handlers', []):
                    visit(handler.body, prefix)

    visit(tree.body, '')
    return list(dict.fromkeys(names))


def imports_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition('.')[0]


def compile_program(sources, nonce):
    """Record C: the length of a JSON text, the text, and the code objects."""
    gc.enable()
    try:
        trees = [ast.parse(source.decode(), 'solution.py') for source in sources]
        codes = [compile(source.decode(), 'solution.py', 'exec', dont_inherit=True) for source in sources]
        outline = {'compiles': True, 'names': names_of(trees[-1])}
        outline['warm'] = sorted(WARM.intersection(*[set(imports_of(tree)) for tree in trees[-1:]]))
        data = marshal.dumps(codes)
    except SyntaxError as error:
        outline = {'compiles': False, 'problem': f'{type(error).__name__}: {error.msg} (line {error.lineno})', 'names': []}
        data = b''
    except Exception as error:
        outline = {'compiles': False, 'problem': describe(error).decode(), 'names': []}
        data = b''
    text = json.dumps(outline).encode()
    write_record(nonce, b'C', struct.pack('<I', len(text)) + text + data)
    os._exit(0)


def compiled(sources):
    """The outline, and the code for `execute`."""
    run = Run(lambda nonce: compile_program(sources, nonce), b'', COMPILE_SECONDS, COMPILE_MEMORY, 1 << 16, COMPILE_BYTES)
    if run.status != 'finished' or run.kind != b'C':
        how = {'timeout': f'took more than {COMPILE_SECONDS} s', 'output': 'made too large a program'}
        problem = f'The compiler {how.get(run.status) or f"ended with {run.status} {run.detail}"}'
        return {'compiles': False, 'problem': problem, 'names': []}, b''
    size = struct.unpack_from('<I', run.payload)[0]
    outline = json.loads(run.payload[4:4 + size])
    for name in outline.pop('warm', ()):
        try:
            __import__(name)
            gc.freeze()
        except Exception:
            pass  # the program will see for itself
    return outline, run.payload[4 + size:]


# What no program may do. Each line that it can is returned.
PROBE = r'''
def probe(writable, memory):
    import ctypes, os, socket
    done = []
    def attempt(name, action):
        try:
            action()
            done.append(name)
        except (OSError, MemoryError):
            pass
    def write(path):
        with open(path, 'w') as file:
            file.write('x')
        os.unlink(path)
    def ptrace():
        if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) != 0:
            raise OSError
    def fork():
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    for path in ('/etc/passwd', '/etc/hostname', '/proc/1/environ', '/proc/self/environ', '/sys/kernel/notes'):
        attempt('read ' + path, lambda: open(path, 'rb').read(1))
    for directory in ('', '/etc', '/var/tmp', '/dev/shm', '/usr/lib', '/root', '/home', '/tmp'):
        if directory != writable:
            attempt('write in ' + (directory or '/'), lambda: write(directory + '/branchmerge-probe'))
    attempt('open a TCP socket', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    attempt('open a UDP socket', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    attempt('open a Unix socket', lambda: socket.socketpair())
    attempt('start a process', fork)
    attempt('start a program', lambda: os.posix_spawn('/bin/sh', ['sh', '-c', ':'], {}))
    attempt('signal another process', lambda: os.kill(os.getppid(), 0))
    attempt('trace another process', ptrace)
    attempt('take too much memory', lambda: bytearray(memory))
    return done
'''
PROBE_SECONDS, PROBE_MEMORY = 30, 1 << 30


def self_test():
    """What a program that is confined as every other can do and should not."""
    _, codes = compiled([PROBE.encode()])
    arguments = [json.dumps(SCRATCH), json.dumps(PROBE_MEMORY)]
    run = Run(lambda nonce: execute(codes, 'probe', arguments, nonce), b'', PROBE_SECONDS, PROBE_MEMORY, 1 << 16, 1 << 16)
    if run.status != 'finished':
        return None, f'{run.status} {run.detail}'
    return json.loads(run.payload), None


def main():
    set_up_descriptors()
    prctl(SET_DUMPABLE, 0)
    if sys.path and sys.path[0] == '':
        del sys.path[0]
    if SCRATCH:
        os.chdir(SCRATCH)
    gc.disable()
    gc.freeze()
    escapes, problem = self_test()
    write_reply({'ready': True, 'python': sys.version.split()[0], 'level': LEVEL, 'escapes': escapes, 'problem': problem})
    codes, entry, outline = b'', None, None
    while True:
        header, parts = read_request()
        reply = {'id': header['id']}
        if header['op'] == 'outline':
            write_reply({**reply, **compiled(parts)[0]})
            continue
        if header['op'] == 'program':
            entry = header['entry']
            outline, codes = compiled(parts)
            write_reply({**reply, **outline})
            continue
        stdin = parts[0] if entry is None else b''
        arguments = [] if entry is None else parts
        work = lambda nonce: execute(codes, entry, arguments, nonce)  # noqa: E731
        run = Run(work, stdin, header['seconds'], header['memory'], header['output'], header['output'] + MESSAGE_BYTES)
        value = run.payload if run.status == 'finished' and entry is not None else b''
        if run.status == 'finished' and (run.kind == b'V') != (entry is not None):
            run.status, run.detail, value = 'protocol', 'the program wrote to a descriptor that is not its own', b''
        elif len(value) > header['output']:
            run.status, value = 'output', b''
        # A program that leaves files has this sandbox to itself: the next one gets another.
        used = bool(SCRATCH and os.listdir(SCRATCH))
        reply.update(status=run.status, detail=run.detail, seconds=run.seconds, cpu=run.cpu, memory=run.memory, used=used)
        write_reply(reply, [bytes(run.output), value])


main()
