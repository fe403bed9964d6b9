//! Which device nodes a cgroup's processes may use: v1's allow and deny files, on v2 a small BPF
//! program attached to the cgroup.

use super::{CgroupError, Cgroups, Place};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// One device, or with None all numbers of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// True: a character device, false: a block device.
    pub character: bool,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub read: bool,
    pub write: bool,
    pub make: bool,
}

impl Rule {
    /// A character device that may be read, written and made.
    pub const fn character(major: u32, minor: Option<u32>) -> Rule {
        Rule { character: true, major: Some(major), minor, read: true, write: true, make: true }
    }

    fn line(self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let mut permissions = String::new();
        for (wanted, letter) in [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')] {
            if wanted {
                permissions.push(letter);
            }
        }
        let kind = if self.character { 'c' } else { 'b' };
        format!("{kind} {}:{} {permissions}", number(self.major), number(self.minor))
    }
}

impl Cgroups {
    /// From now on only these devices can be used in the cgroup.
    pub fn allow_devices(&self, path: &str, rules: &[Rule]) -> Result<(), CgroupError> {
        let fail = |file: &str, value: &str, source| CgroupError::Set {
            path: path.to_owned(),
            file: file.to_owned(),
            value: value.to_owned(),
            source,
        };
        if let Place::V1(root) = self.place("devices") {
            let put = |file: &str, value: &str| {
                super::write(root, &format!("{path}/{file}"), value).map_err(|error| fail(file, value, error))
            };
            put("devices.deny", "a")?;
            return rules.iter().try_for_each(|rule| put("devices.allow", &rule.line()));
        }
        let Some(v2) = &self.v2 else { return Ok(()) };
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let cgroup = rustix::fs::openat(&v2.root, path, flags, rustix::fs::Mode::empty());
        let cgroup = cgroup.map_err(|error| fail("devices", "", error.into()))?;
        let program = load(&program(rules)).map_err(|error| fail("devices", "program", error))?;
        attach(&cgroup, &program).map_err(|error| fail("devices", "program", error))
    }
}

/// An instruction of (extended) BPF.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the low, source in the high half.
    registers: u8,
    offset: i16,
    value: i32,
}

const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbf;
const MOVE_VALUE: u8 = 0xb7;
const AND_VALUE: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

const fn step(code: u8, destination: u8, source: u8, offset: i16, value: i32) -> Instruction {
    Instruction { code, registers: destination | (source << 4), offset, value }
}

/// Bits of `bpf_cgroup_dev_ctx.access_type`.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// Registers: 2 kind, 3 wanted access, 4 major, 5 minor, 6 scratch. Each rule is a row of tests
/// that jump to the next rule; the last resort is a refusal.
fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        step(LOAD_WORD, 2, 1, 0, 0),
        step(MOVE_REGISTER, 3, 2, 0, 0),
        step(AND_VALUE, 2, 0, 0, 0xffff),
        step(SHIFT_RIGHT, 3, 0, 0, 16),
        step(LOAD_WORD, 4, 1, 4, 0),
        step(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules {
        let allowed = [(rule.make, MAKE), (rule.read, READ), (rule.write, WRITE)];
        let allowed: i32 = allowed.iter().filter(|(wanted, _)| *wanted).map(|(_, bit)| bit).sum();
        let mut tests = vec![
            step(JUMP_NOT_EQUAL, 2, 0, 0, if rule.character { CHARACTER } else { BLOCK }),
            step(MOVE_REGISTER, 6, 3, 0, 0),
            step(AND_VALUE, 6, 0, 0, !allowed & 7),
            step(JUMP_NOT_EQUAL, 6, 0, 0, 0),
        ];
        let numbers = [(4, rule.major), (5, rule.minor)];
        tests.extend(numbers.iter().filter_map(|(register, number)| {
            number.map(|number| step(JUMP_NOT_EQUAL, *register, 0, 0, number as i32))
        }));
        tests.extend([step(MOVE_VALUE, 0, 0, 0, 1), step(EXIT, 0, 0, 0, 0)]);
        let length = tests.len();
        for (position, test) in tests.iter_mut().enumerate() {
            if test.code == JUMP_NOT_EQUAL {
                test.offset = (length - position - 1) as i16;
            }
        }
        program.extend(tests);
    }
    program.extend([step(MOVE_VALUE, 0, 0, 0, 0), step(EXIT, 0, 0, 0, 0)]);
    program
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    /// The first fields of `union bpf_attr` for BPF_PROG_LOAD.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    let attributes = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the structure is a prefix of bpf_attr of the size given; the pointers in it are live.
    let raw =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, std::ptr::from_ref(&attributes), size_of::<Load>()) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

fn attach(cgroup: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    /// The fields of `union bpf_attr` for BPF_PROG_ATTACH.
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let attributes = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the structure is a prefix of bpf_attr of the size given.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, std::ptr::from_ref(&attributes), size_of::<Attach>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_the_words_of_v1() {
        assert_eq!(Rule::character(1, Some(3)).line(), "c 1:3 rwm");
        let any = Rule { character: false, major: None, minor: None, read: false, write: false, make: true };
        assert_eq!(any.line(), "b *:* m");
    }

    /// The kernel's verifier is the judge of the program, wherever the kernel has BPF.
    #[test]
    fn the_kernel_takes_the_program() {
        let any = Rule { character: true, major: None, minor: None, read: false, write: false, make: true };
        match load(&program(&[any, Rule::character(1, Some(3)), Rule::character(136, None)])) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
