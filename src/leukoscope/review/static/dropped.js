// Files of a drop or a choice, folders gone through.
export async function filesOf(transfer, isWanted) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return { files: [...transfer.files], left: 0 };
  const found = { files: [], left: 0 };
  for (const entry of entries) {
    if (entry.isFile) found.files.push(await fileOf(entry));
    else await walk(entry, isWanted, found);
  }
  return found;
}

// In a folder, what is no image by its name is left out: nobody dropped it by itself.
async function walk(folder, isWanted, found) {
  const reader = folder.createReader();
  for (;;) {
    const entries = await new Promise((done, fail) => reader.readEntries(done, fail)); // a hundred at a time
    if (!entries.length) return;
    for (const entry of entries) {
      if (entry.isDirectory) await walk(entry, isWanted, found);
      else if (isWanted(entry.name)) found.files.push(await fileOf(entry));
      else found.left += 1;
    }
  }
}

const fileOf = (entry) => new Promise((done, fail) => entry.file(done, fail));
