using System.Globalization;

namespace DoSandbox.Agent.Files;

/// <summary>Names of users and groups, from /etc/passwd and /etc/group. Read again when the files change.</summary>
internal sealed class Accounts
{
    private const int MaxFile = 4 * 1024 * 1024;

    private readonly Table _users = new("/etc/passwd");
    private readonly Table _groups = new("/etc/group");

    /// <summary>A user's name, else the number as text.</summary>
    public string UserName(uint id) => _users.Name(id);

    /// <summary>A group's name, else the number as text.</summary>
    public string GroupName(uint id) => _groups.Name(id);

    /// <summary>A user's number by name or number; null when there is no such user.</summary>
    public uint? FindUser(string name) => _users.Find(name);

    public uint? FindGroup(string name) => _groups.Find(name);

    private sealed class Table(string path)
    {
        private readonly Lock _gate = new();
        private Dictionary<uint, string> _names = [];
        private Dictionary<string, uint> _numbers = new(StringComparer.Ordinal);
        private DateTime _changed;
        private long _checked = -1000;

        public string Name(uint id)
        {
            lock (_gate)
            {
                Refresh();
                return _names.GetValueOrDefault(id) ?? id.ToString(CultureInfo.InvariantCulture);
            }
        }

        public uint? Find(string name)
        {
            lock (_gate)
            {
                Refresh();
                return _numbers.TryGetValue(name, out var id) || uint.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out id)
                    ? id
                    : null;
            }
        }

        private void Refresh()
        {
            if (Environment.TickCount64 - _checked < 1000)
            {
                return;
            }

            _checked = Environment.TickCount64;
            var info = new FileInfo(path);
            if (!info.Exists || info.LastWriteTimeUtc == _changed || info.Length > MaxFile)
            {
                return;
            }

            var names = new Dictionary<uint, string>();
            var numbers = new Dictionary<string, uint>(StringComparer.Ordinal);
            foreach (var line in File.ReadLines(path))
            {
                // name:password:number:...
                var fields = line.Split(':', 4);
                if (fields.Length >= 3 && uint.TryParse(fields[2], NumberStyles.None, CultureInfo.InvariantCulture, out var id))
                {
                    names.TryAdd(id, fields[0]);
                    numbers.TryAdd(fields[0], id);
                }
            }

            (_names, _numbers, _changed) = (names, numbers, info.LastWriteTimeUtc);
        }
    }
}
