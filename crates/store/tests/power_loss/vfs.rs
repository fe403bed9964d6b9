//! Puts SQLite on a [`Disk`]: a file layer ("VFS") of our own, with the locks and the shared
//! memory that several connections of one process need.

use crate::disk::{Disk, Failed};
use rusqlite::ffi;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const SHM_LOCKS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// What all connections through one registered layer share.
pub struct Machine {
    disk: Mutex<Disk>,
    locks: Mutex<Locks>,
}

#[derive(Default)]
struct Locks {
    next_handle: usize,
    /// Per path: each handle's level of SQLite's file lock.
    files: BTreeMap<String, BTreeMap<usize, c_int>>,
    shared_memory: BTreeMap<String, Arc<Mutex<SharedMemory>>>,
    random: u64,
}

/// The index of a write-ahead log. Its regions never move: SQLite keeps pointers into them.
#[derive(Default)]
struct SharedMemory {
    regions: Vec<Box<[u64]>>,
    /// Per slot: the handles that hold it, and whether it is exclusive.
    slots: [(Vec<usize>, bool); SHM_LOCKS],
}

/// What SQLite allocates for us per open file: its own part, then ours.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

struct Handle {
    machine: Arc<Machine>,
    path: String,
    id: usize,
    shared_memory: Option<Arc<Mutex<SharedMemory>>>,
    delete_on_close: bool,
}

impl Machine {
    /// Registers `disk` with SQLite as the file layer `name`, for the rest of the process.
    pub fn register(name: &str, disk: Disk) -> Arc<Machine> {
        let locks = Locks { random: 0x9e37_79b9_7f4a_7c15, ..Locks::default() };
        let machine = Arc::new(Machine { disk: Mutex::new(disk), locks: Mutex::new(locks) });
        let name = CString::new(name).expect("a name without NUL");
        let vfs = ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<OpenFile>() as c_int,
            mxPathname: 512,
            pNext: std::ptr::null_mut(),
            zName: name.into_raw(),
            pAppData: Arc::into_raw(Arc::clone(&machine)).cast_mut().cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: None,
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        // SAFETY: the structure and what it points to are leaked, hence valid for good.
        let outcome = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) };
        assert_eq!(outcome, ffi::SQLITE_OK);
        machine
    }

    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no panic while the disk was held")
    }

    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.locks.lock().expect("no panic while the locks were held")
    }

    /// Forgets all locks and shared memory, as a reboot does. No connection may be open.
    pub fn reboot(&self) {
        let mut locks = self.locks();
        locks.files.clear();
        locks.shared_memory.clear();
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// # Safety
/// `vfs` must be one that [`Machine::register`] made.
unsafe fn machine_of(vfs: *mut ffi::sqlite3_vfs) -> Arc<Machine> {
    // SAFETY: pAppData came from Arc::into_raw and is never released, so a count more is sound.
    unsafe {
        let machine = (*vfs).pAppData.cast::<Machine>();
        Arc::increment_strong_count(machine);
        Arc::from_raw(machine)
    }
}

/// # Safety
/// `file` must have been opened by [`open`] and not closed; SQLite uses a file from one thread at
/// a time.
unsafe fn handle_of<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: `open` put a Box's pointer there, which `close` alone takes back.
    unsafe { &mut *(*file.cast::<OpenFile>()).handle }
}

fn code(outcome: Result<(), Failed>, error: c_int) -> c_int {
    if outcome.is_ok() { ffi::SQLITE_OK } else { error }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes our layer, szOsFile bytes for the file, and a NUL-ended name or NULL.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let machine = machine_of(vfs);
        let id = {
            let mut locks = machine.locks();
            locks.next_handle += 1;
            locks.next_handle
        };
        let path = if name.is_null() { format!("temporary-{id}") } else { text(name) };
        if machine.disk().open(&path, flags & ffi::SQLITE_OPEN_CREATE != 0).is_err() {
            return ffi::SQLITE_CANTOPEN;
        }
        let delete_on_close = flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
        let handle = Handle { machine, path, id, shared_memory: None, delete_on_close };
        let ours = file.cast::<OpenFile>();
        (*ours).handle = Box::into_raw(Box::new(handle));
        (*file).pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

/// # Safety
/// `name` must end with NUL.
unsafe fn text(name: *const c_char) -> String {
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite passes our layer and a NUL-ended name.
    let (machine, path) = unsafe { (machine_of(vfs), text(name)) };
    let outcome = machine.disk().delete(&path, sync_directory != 0);
    code(outcome, ffi::SQLITE_IOERR_DELETE)
}

unsafe extern "C" fn access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes our layer, a NUL-ended name and room for the answer.
    unsafe {
        let machine = machine_of(vfs);
        let mut disk = machine.disk();
        if disk.check().is_err() {
            return ffi::SQLITE_IOERR_ACCESS;
        }
        *out = c_int::from(disk.exists(&text(name)));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_path(_: *mut ffi::sqlite3_vfs, name: *const c_char, room: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite passes a NUL-ended name and `room` bytes.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite passes our layer and `count` bytes.
    let (machine, out) = unsafe { (machine_of(vfs), std::slice::from_raw_parts_mut(out.cast::<u8>(), count as usize)) };
    let mut locks = machine.locks();
    for byte in out {
        locks.random = locks.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (locks.random >> 56) as u8;
    }
    count
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    std::thread::sleep(Duration::from_micros(micros.unsigned_abs().into()));
    micros
}

unsafe extern "C" fn last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes room for the answer. Any fixed day will do.
    unsafe { *out = 212_000_000_000_000 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` made the handle, and SQLite closes a file once.
    let handle = unsafe { Box::from_raw((*file.cast::<OpenFile>()).handle) };
    if let Some(levels) = handle.machine.locks().files.get_mut(&handle.path) {
        levels.remove(&handle.id);
    }
    if handle.delete_on_close {
        let _ = handle.machine.disk().delete(&handle.path, false);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, out: *mut c_void, count: c_int, offset: i64) -> c_int {
    // SAFETY: an open file of ours and `count` bytes.
    let (handle, out) = unsafe { (handle_of(file), std::slice::from_raw_parts_mut(out.cast::<u8>(), count as usize)) };
    match handle.machine.disk().read(&handle.path, offset as usize, out) {
        Ok(read) if read == out.len() => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(Failed) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, data: *const c_void, count: c_int, offset: i64) -> c_int {
    // SAFETY: an open file of ours and `count` bytes.
    let (handle, data) = unsafe { (handle_of(file), std::slice::from_raw_parts(data.cast::<u8>(), count as usize)) };
    let outcome = handle.machine.disk().write(&handle.path, offset as usize, data);
    code(outcome, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: an open file of ours.
    let handle = unsafe { handle_of(file) };
    let outcome = handle.machine.disk().truncate(&handle.path, length as usize);
    code(outcome, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let handle = unsafe { handle_of(file) };
    let outcome = handle.machine.disk().sync(&handle.path);
    code(outcome, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: an open file of ours and room for the answer.
    unsafe {
        let handle = handle_of(file);
        match handle.machine.disk().len(&handle.path) {
            Ok(length) => *out = length as i64,
            Err(Failed) => return ffi::SQLITE_IOERR_FSTAT,
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let handle = unsafe { handle_of(file) };
    let mut locks = handle.machine.locks();
    let levels = locks.files.entry(handle.path.clone()).or_default();
    let others = levels.iter().filter(|(id, _)| **id != handle.id).map(|(_, level)| *level).max().unwrap_or(0);
    let barred = match level {
        ffi::SQLITE_LOCK_SHARED => others >= ffi::SQLITE_LOCK_PENDING,
        ffi::SQLITE_LOCK_RESERVED => others >= ffi::SQLITE_LOCK_RESERVED,
        _ => others >= ffi::SQLITE_LOCK_SHARED,
    };
    if barred {
        return ffi::SQLITE_BUSY;
    }
    levels.insert(handle.id, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let handle = unsafe { handle_of(file) };
    let mut locks = handle.machine.locks();
    locks.files.entry(handle.path.clone()).or_default().insert(handle.id, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file of ours and room for the answer.
    unsafe {
        let handle = handle_of(file);
        let mut locks = handle.machine.locks();
        let levels = locks.files.entry(handle.path.clone()).or_default();
        *out = c_int::from(levels.values().any(|level| *level >= ffi::SQLITE_LOCK_RESERVED));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file of ours and room for the pointer, which stays valid as long as the
    // handle keeps the shared memory alive: regions are only ever added.
    unsafe {
        let handle = handle_of(file);
        if handle.machine.disk().check().is_err() {
            return ffi::SQLITE_IOERR_SHMMAP;
        }
        let memory = match &handle.shared_memory {
            Some(memory) => Arc::clone(memory),
            None => Arc::clone(handle.machine.locks().shared_memory.entry(handle.path.clone()).or_default()),
        };
        handle.shared_memory = Some(Arc::clone(&memory));
        let mut memory = memory.lock().expect("no panic while the shared memory was held");
        let (region, words) = (region as usize, size as usize / size_of::<u64>());
        if memory.regions.len() <= region {
            if extend == 0 {
                *out = std::ptr::null_mut();
                return ffi::SQLITE_OK;
            }
            memory.regions.resize_with(region + 1, || vec![0; words].into_boxed_slice());
        }
        *out = memory.regions[region].as_mut_ptr().cast();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let handle = unsafe { handle_of(file) };
    let Some(memory) = &handle.shared_memory else { return ffi::SQLITE_IOERR_SHMLOCK };
    let mut memory = memory.lock().expect("no panic while the shared memory was held");
    let slots = &mut memory.slots[offset as usize..(offset + count) as usize];
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        for (holders, exclusive) in slots {
            holders.retain(|holder| *holder != handle.id);
            *exclusive &= !holders.is_empty();
        }
        return ffi::SQLITE_OK;
    }
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    let barred = |(holders, held_exclusively): &(Vec<usize>, bool)| {
        (exclusive || *held_exclusively) && holders.iter().any(|holder| *holder != handle.id)
    };
    if slots.iter().any(barred) {
        return ffi::SQLITE_BUSY;
    }
    for (holders, held_exclusively) in slots {
        holders.push(handle.id);
        *held_exclusively = exclusive;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: an open file of ours.
    let handle = unsafe { handle_of(file) };
    if let Some(memory) = handle.shared_memory.take() {
        let mut memory = memory.lock().expect("no panic while the shared memory was held");
        for (holders, _) in &mut memory.slots {
            holders.retain(|holder| *holder != handle.id);
        }
    }
    if delete != 0 {
        handle.machine.locks().shared_memory.remove(&handle.path);
    }
    ffi::SQLITE_OK
}
