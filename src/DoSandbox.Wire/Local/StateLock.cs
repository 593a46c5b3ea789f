namespace DoSandbox.Wire.Local;

/// <summary>The lock under which supervisors reserve names and user ids, and clients take back those of sandboxes that are gone. Held for milliseconds.</summary>
public static class StateLock
{
    private const int LongestWait = 10_000;

    /// <summary>Takes it; disposing releases it, as does the end of the process.</summary>
    /// <param name="stateFolder">The state folder.</param>
    /// <exception cref="IOException">It was not free within 10 s, or its file cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">The state folder is another user's.</exception>
    public static FileStream Take(string stateFolder)
    {
        var path = Path.Combine(stateFolder, LocalLayout.LockFile);
        var deadline = Environment.TickCount64 + LongestWait;
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (File.Exists(path) && Environment.TickCount64 < deadline)
            {
                Thread.Sleep(2);
            }
        }
    }
}
